-- Take the lease over, only under the cluster's incarnation ($4), which is held still for this one statement.
INSERT INTO shard_leases (kind, layout, shard, epoch, incarnation, owner, backend_pid, backend_start)
SELECT $1, $2, $3, 1, c.incarnation, $5, a.pid, a.backend_start
FROM cluster_owner c, pg_stat_activity a
WHERE c.incarnation = $4 AND a.pid = pg_backend_pid()
FOR SHARE OF c
ON CONFLICT (kind, layout, shard) DO UPDATE
    SET epoch = shard_leases.epoch + 1, incarnation = excluded.incarnation, owner = excluded.owner,
        backend_pid = excluded.backend_pid, backend_start = excluded.backend_start
RETURNING epoch
