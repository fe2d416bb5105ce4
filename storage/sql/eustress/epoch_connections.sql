-- The connections of an epoch: the versions in space $1 that a snapshot at one of the versions $2 (ascending) shows, each once.
-- Both ends have to be such as may train (epoch_samples.sql): else the id of one that refused would be told.
WITH words AS MATERIALIZED (
    SELECT DISTINCT ON (id) id, trains FROM eustress_entity_versions
    WHERE space_name = $1 AND trains IS NOT NULL
    ORDER BY id, since DESC
), policy AS MATERIALIZED (
    SELECT coalesce((SELECT (policy ->> 'trains_by_default')::boolean FROM eustress_spaces WHERE id = $1), true) AS trains
)
SELECT c.source_id, c.target_id, c.connection_type, c.since AS version,
    nullif(c.until, 9223372036854775807) AS ended_version,
    ($2::bigint[])[width_bucket(c.since - 1, $2::bigint[]) + 1] AS snapshot_version,
    width_bucket(c.until - 1, $2::bigint[]) - width_bucket(c.since - 1, $2::bigint[]) AS snapshots,
    c.at AS timestamp, c.ended_at, c.made, c.in_tree, c.strength, c.label
FROM eustress_connection_versions c
CROSS JOIN policy
LEFT JOIN words s ON s.id = c.source_id
LEFT JOIN words t ON t.id = c.target_id
WHERE c.space_name = $1 AND c.strength IS NOT NULL
    AND coalesce(s.trains, policy.trains) AND coalesce(t.trains, policy.trains)
    AND ($2::bigint[])[width_bucket(c.since - 1, $2::bigint[]) + 1] < c.until
ORDER BY c.source_id, c.target_id, c.connection_type, c.since
