-- The run of ritual $2 that $1 completed last.
SELECT id FROM ritual_sessions
WHERE practitioner_id = $1::uuid AND ritual_id = $2::uuid AND status = 'completed'
ORDER BY created_at DESC, id DESC
LIMIT 1
