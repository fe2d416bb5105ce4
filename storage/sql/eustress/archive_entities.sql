-- What the trim of entities' versions takes (versions/eustress_entity_versions.trim.sql) when of the snapshots of space $1 those at
-- the versions $4 (ascending) are left: what ended before $2 (and not before $3) and none of them shows; and what is not there
-- since before $2, unless it refused to train and an older snapshot is left. In the order of epoch_samples.sql, with what is not
-- there (data NULL) last.
SELECT v.id AS entity_id, v.since AS version, nullif(v.until, 9223372036854775807) AS ended_version, v.at AS timestamp,
    v.ended_at, v.x, v.y, v.z, v.parent_id, v.depth, v.flux_position, v.trains, v.data::text AS entity_data
FROM eustress_entity_versions v
WHERE v.space_name = $1 AND (
    v.ended_at < $2 AND v.ended_at >= coalesce($3, '-infinity'::timestamptz) AND (
        v.data IS NULL OR (($4::bigint[])[width_bucket(v.since - 1, $4::bigint[]) + 1] < v.until) IS NOT TRUE)
    OR v.until = 9223372036854775807 AND v.data IS NULL AND v.at < $2
        AND (v.trains IS FALSE AND ($4::bigint[])[1] < v.since) IS NOT TRUE
)
ORDER BY v.depth, v.id, v.since
