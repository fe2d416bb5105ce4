-- At most $2 rows of the practitioner $1.
DELETE FROM ritual_sessions WHERE id IN (SELECT id FROM ritual_sessions WHERE practitioner_id = $1::uuid LIMIT $2)
