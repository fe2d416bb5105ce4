-- Whose run $1 is.
SELECT practitioner_id::text FROM ritual_sessions WHERE id = $1::uuid
