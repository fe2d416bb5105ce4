-- Open spaces, newest first, after the space $3, with $4 (a LIKE pattern) somewhere in their text: those that $1 may see
-- listed, or where $5 is true those that $1 participates in.
SELECT id, slug, name, purpose, tradition, facilitator_id, participant_limit, current_participants, ritual_schedule,
       access_level, created_at
FROM collective_spaces s
WHERE closed_at IS NULL
    AND CASE WHEN $5::boolean THEN EXISTS (
            SELECT FROM space_members m WHERE m.practitioner_id = $1::uuid AND m.space_id = s.id AND m.participant)
        ELSE access_level <> 'private' OR facilitator_id = $1::uuid END
    AND ($3::uuid IS NULL
         OR (created_at, id) < (SELECT c.created_at, c.id FROM collective_spaces c WHERE c.id = $3::uuid))
    AND ($4::text IS NULL OR name ILIKE $4 OR purpose ILIKE $4 OR slug ILIKE $4)
ORDER BY created_at DESC, id DESC
LIMIT $2
