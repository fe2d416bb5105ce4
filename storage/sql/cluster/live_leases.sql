-- Leases held under this incarnation by a backend that is there.
SELECT l.kind, l.layout, l.shard, l.epoch, l.backend_pid
FROM shard_leases l JOIN pg_stat_activity a ON a.pid = l.backend_pid AND a.backend_start = l.backend_start
WHERE l.incarnation = $1 ORDER BY l.kind, l.layout, l.shard
