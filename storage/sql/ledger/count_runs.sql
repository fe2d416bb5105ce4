SELECT count(*) FROM ritual_sessions
WHERE status <> 'running' AND ($1::text IS NULL OR id = $1::uuid) AND ($2::text IS NULL OR practitioner_id = $2::uuid)
