-- The entities of space $1 as they were at its version $2, at the time $3 (see entities.sql), by id, each with its parameters.
SELECT v.id, coalesce(v.data -> 'parameters', '{}')::text AS data
FROM (
    SELECT id, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint
    UNION ALL
    SELECT id, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint
) v
WHERE v.data IS NOT NULL
ORDER BY v.id
