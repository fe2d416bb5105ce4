-- Connections of space $1 as they were at its version $2 (see entities.sql), by their key: $4 of those after ($6, $7, $8), of the
-- type $5.
SELECT source_id, target_id, connection_type, strength, label, in_tree, since, at
FROM (
    (SELECT source_id, target_id, connection_type, strength, label, in_tree, since, at
    FROM eustress_connection_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint AND strength IS NOT NULL
        AND ($5::text IS NULL OR connection_type = $5)
        AND ($6::text IS NULL OR (source_id, target_id, connection_type) > ($6, $7::text, $8::text))
    ORDER BY source_id, target_id, connection_type
    LIMIT $4)
    UNION ALL
    (SELECT source_id, target_id, connection_type, strength, label, in_tree, since, at
    FROM eustress_connection_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint AND strength IS NOT NULL
        AND ($5::text IS NULL OR connection_type = $5)
        AND ($6::text IS NULL OR (source_id, target_id, connection_type) > ($6, $7::text, $8::text))
    ORDER BY source_id, target_id, connection_type
    LIMIT $4)
) v
ORDER BY source_id, target_id, connection_type
LIMIT $4
