-- The tree of space $1 as it was at its version $2, at the time $3 (see entities.sql), by id: all of it, or (where $4 is not NULL)
-- only roots or only what has a parent.
SELECT v.id, v.parent_id, v.depth
FROM (
    SELECT id, parent_id, depth, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint
    UNION ALL
    SELECT id, parent_id, depth, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint
) v
WHERE v.data IS NOT NULL AND ($4::boolean IS NULL OR (v.parent_id IS NULL) = $4)
ORDER BY v.id
