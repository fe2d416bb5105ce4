-- At most $2 rows of the practitioner $1.
DELETE FROM auth_sessions WHERE id IN (SELECT id FROM auth_sessions WHERE practitioner_id = $1::uuid LIMIT $2)
