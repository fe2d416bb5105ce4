-- How many runs have ended: the run $1, or those of $2, where given.
SELECT count(*) FROM ritual_sessions
WHERE status <> 'running' AND ($1::text IS NULL OR id = $1::uuid) AND ($2::text IS NULL OR practitioner_id = $2::uuid)
