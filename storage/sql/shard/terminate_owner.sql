-- End the backend that the lease names and wait up to 5 s for it to go. Its start time guards against a reused pid.
SELECT pg_terminate_backend(a.pid, 5000)
FROM shard_leases l
JOIN pg_stat_activity a ON a.pid = l.backend_pid AND a.backend_start = l.backend_start
WHERE l.kind = $1 AND l.layout = $2 AND l.shard = $3 AND a.pid <> pg_backend_pid()
