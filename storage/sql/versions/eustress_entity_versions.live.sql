-- The next live rows of the space $1 after the id $2: at most $3, until about $4 bytes are reached; at least one. What is stored
-- is counted, compressed where it is, so that nothing is unpacked to be left behind.
SELECT space_name, id, since, at, flux_position, x, y, z, parent_id, depth, trains, convert_to(data::text, 'UTF8') AS data
FROM (
    SELECT p.*, sum(size) OVER (ORDER BY p.id) - size AS bytes_before
    FROM (
        SELECT v.*, coalesce(pg_column_size(v.data), 0) AS size FROM eustress_entity_versions v
        WHERE v.space_name = $1 AND v.id > $2 AND v.until = 9223372036854775807
        ORDER BY v.id LIMIT $3
    ) p
) q
WHERE bytes_before < $4
ORDER BY id
