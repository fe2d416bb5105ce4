-- The same of connections.
SELECT c.source_id, c.target_id, c.connection_type, c.since AS version,
    nullif(c.until, 9223372036854775807) AS ended_version, c.at AS timestamp, c.ended_at, c.made, c.in_tree, c.strength, c.label
FROM eustress_connection_versions c
WHERE c.space_name = $1 AND (
    c.ended_at < $2 AND c.ended_at >= coalesce($3, '-infinity'::timestamptz) AND (
        c.strength IS NULL OR (($4::bigint[])[width_bucket(c.since - 1, $4::bigint[]) + 1] < c.until) IS NOT TRUE)
    OR c.until = 9223372036854775807 AND c.strength IS NULL AND c.at < $2
)
ORDER BY c.source_id, c.target_id, c.connection_type, c.since
