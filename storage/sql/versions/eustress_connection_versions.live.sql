-- The next live rows of the space $1 after the key $2, $3, $4: at most $5, until about $6 bytes are reached; at least one.
SELECT space_name, source_id, target_id, connection_type, since, at, made, in_tree, strength, label
FROM (
    SELECT p.*, sum(size) OVER (ORDER BY p.source_id, p.target_id, p.connection_type) - size AS bytes_before
    FROM (
        SELECT v.*, coalesce(pg_column_size(v.label), 0) AS size FROM eustress_connection_versions v
        WHERE v.space_name = $1 AND (v.source_id, v.target_id, v.connection_type) > ($2, $3, $4)
            AND v.until = 9223372036854775807
        ORDER BY v.source_id, v.target_id, v.connection_type LIMIT $5
    ) p
) q
WHERE bytes_before < $6
ORDER BY source_id, target_id, connection_type
