-- Spaces that $1 has, or had, to do with. What a private one is called now is no business of who left it.
SELECT m.space_id, m.participant, m.known_at, s.facilitator_id = $1::uuid AS facilitates, s.closed_at,
       CASE WHEN k.knows THEN s.slug END AS slug, CASE WHEN k.knows THEN s.name END AS name
FROM space_members m
LEFT JOIN collective_spaces s ON s.id = m.space_id
CROSS JOIN LATERAL (
    SELECT s.access_level <> 'private' OR m.participant OR s.facilitator_id = $1::uuid AS knows) k
WHERE m.practitioner_id = $1::uuid AND ($3::uuid IS NULL OR m.space_id > $3)
ORDER BY m.space_id
LIMIT $2
