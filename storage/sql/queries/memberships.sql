-- Spaces that $1 has, or had, to do with.
SELECT m.space_id, m.participant, m.known_at, s.slug, s.name, s.facilitator_id = $1::uuid AS facilitates, s.closed_at
FROM space_members m LEFT JOIN collective_spaces s ON s.id = m.space_id
WHERE m.practitioner_id = $1::uuid AND ($3::uuid IS NULL OR m.space_id > $3)
ORDER BY m.space_id
LIMIT $2
