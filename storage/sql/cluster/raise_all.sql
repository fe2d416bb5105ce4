-- Fence every shard of every layout and note the layouts now in force ($2, NULL keeps them); nothing unless $1 is current.
WITH ours AS (
    UPDATE cluster_owner SET layouts = coalesce($2::jsonb, layouts) WHERE incarnation = $1 RETURNING incarnation
), raised AS (
    UPDATE shard_leases SET epoch = epoch + 1, incarnation = $1, owner = NULL, backend_pid = NULL, backend_start = NULL
    WHERE EXISTS (SELECT FROM ours)
)
SELECT true FROM ours
