-- What changed in space $1 since its version $2, in order: $3 of what comes after ($2, $4, $5, $6, $7). Within a version entities
-- come first, then connections, connections that went, entities that went: the order in which a batch is applied.
SELECT c.since, c.at, c.rank, c.a, c.b, c.c, c.flux_position, c.parent_id, c.depth, c.data::text AS data, c.strength, c.label
FROM (
    SELECT since, at, CASE WHEN data IS NULL THEN 3 ELSE 0 END AS rank, id AS a, '' AS b, '' AS c,
           flux_position, parent_id, depth, data, NULL::double precision AS strength, NULL::text AS label
    FROM eustress_entity_versions
    WHERE space_name = $1 AND since >= $2::bigint
    UNION ALL
    SELECT since, at, CASE WHEN strength IS NULL THEN 2 ELSE 1 END, source_id, target_id, connection_type,
           NULL, NULL, NULL, NULL, strength, label
    FROM eustress_connection_versions
    WHERE space_name = $1 AND since >= $2::bigint
) c
WHERE (c.since, c.rank, c.a, c.b, c.c) > ($2, $4::integer, $5::text, $6::text, $7::text)
ORDER BY c.since, c.rank, c.a, c.b, c.c
LIMIT $3
