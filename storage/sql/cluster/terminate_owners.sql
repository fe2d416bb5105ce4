-- End every backend that a lease names, old layouts included, so that none holds its lease row locked.
SELECT pg_terminate_backend(a.pid, 5000)
FROM shard_leases l JOIN pg_stat_activity a ON a.pid = l.backend_pid AND a.backend_start = l.backend_start
WHERE a.pid <> pg_backend_pid()
