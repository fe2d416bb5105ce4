-- As connections.sql, those with an end at the entity $9. A part of its own for each end: by its source
-- a connection is found in the index; those with a target are looked for among all of the space (65 ms of 1,000,000).
SELECT v.source_id, v.target_id, v.connection_type, v.strength, v.label, v.in_tree, v.since, v.at
FROM (
    SELECT source_id, target_id, connection_type, strength, label, in_tree, since, at
    FROM eustress_connection_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND source_id = $9
    UNION ALL
    SELECT source_id, target_id, connection_type, strength, label, in_tree, since, at
    FROM eustress_connection_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND target_id = $9 AND source_id <> $9
    UNION ALL
    SELECT source_id, target_id, connection_type, strength, label, in_tree, since, at
    FROM eustress_connection_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND until > $2::bigint AND (source_id = $9 OR target_id = $9)
) v
WHERE v.strength IS NOT NULL AND v.since <= $2
    AND ($5::text IS NULL OR v.connection_type = $5)
    AND ($6::text IS NULL OR (v.source_id, v.target_id, v.connection_type) > ($6, $7::text, $8::text))
ORDER BY v.source_id, v.target_id, v.connection_type
LIMIT $4
