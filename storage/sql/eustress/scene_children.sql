-- Children in space $1 as it was at its version $2, at the time $3 (see entities.sql), by their parents.
SELECT v.parent_id, v.id
FROM (
    SELECT id, parent_id, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND parent_id IS NOT NULL AND since <= $2::bigint
    UNION ALL
    SELECT id, parent_id, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint
) v
WHERE v.data IS NOT NULL AND v.parent_id IS NOT NULL
ORDER BY v.parent_id, v.id
