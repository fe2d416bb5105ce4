-- The connections of space $1 as they were at its version $2, at the time $3 (see entities.sql), by their key.
SELECT v.source_id, v.target_id, v.connection_type, v.strength, v.label
FROM (
    SELECT source_id, target_id, connection_type, strength, label
    FROM eustress_connection_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint
    UNION ALL
    SELECT source_id, target_id, connection_type, strength, label
    FROM eustress_connection_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint
) v
WHERE v.strength IS NOT NULL
ORDER BY v.source_id, v.target_id, v.connection_type
