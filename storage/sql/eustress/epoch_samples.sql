-- The samples of an epoch: versions of the entities of space $1 that a snapshot at one of the versions $2 (ascending) shows, each
-- once. Parents come before children: at the first snapshot that shows a child, the version of its parent that holds is one less
-- deep. Of versions with one beginning width_bucket counts the snapshots before it, so a row costs a search in $2 and no join.
--
-- Not in any: an entity whose newest word on training is no, or of which nobody said anything where the policy does not let it
-- train by default; nor its id as anybody's parent.
WITH words AS MATERIALIZED (
    SELECT DISTINCT ON (id) id, trains FROM eustress_entity_versions
    WHERE space_name = $1 AND trains IS NOT NULL
    ORDER BY id, since DESC
), policy AS MATERIALIZED (
    SELECT coalesce((SELECT (policy ->> 'trains_by_default')::boolean FROM eustress_spaces WHERE id = $1), true) AS trains
)
SELECT v.id AS entity_id, v.since AS version, nullif(v.until, 9223372036854775807) AS ended_version,
    ($2::bigint[])[width_bucket(v.since - 1, $2::bigint[]) + 1] AS snapshot_version,
    width_bucket(v.until - 1, $2::bigint[]) - width_bucket(v.since - 1, $2::bigint[]) AS snapshots,
    v.at AS timestamp, v.ended_at, v.x, v.y, v.z,
    CASE WHEN coalesce(p.trains, policy.trains) THEN v.parent_id END AS parent_id,
    v.depth, v.flux_position, v.data::text AS entity_data
FROM eustress_entity_versions v
CROSS JOIN policy
LEFT JOIN words w ON w.id = v.id
LEFT JOIN words p ON p.id = v.parent_id
WHERE v.space_name = $1 AND v.data IS NOT NULL AND coalesce(w.trains, policy.trains)
    AND ($2::bigint[])[width_bucket(v.since - 1, $2::bigint[]) + 1] < v.until
ORDER BY v.depth, v.id, v.since
