-- Name a new backend in our own lease, and raise its epoch by $6: 0 after a lost idle connection, 1 to settle a doubt.
-- Waits behind the doubtful transaction. A settle whose answer was lost may be repeated: owner is still ours then.
UPDATE shard_leases l
SET epoch = l.epoch + $6, backend_pid = a.pid, backend_start = a.backend_start
FROM pg_stat_activity a
WHERE l.kind = $1 AND l.layout = $2 AND l.shard = $3 AND l.incarnation = $4 AND l.owner = $5 AND a.pid = pg_backend_pid()
RETURNING l.epoch
