-- What changed in space $1 since its version $2, in order: $3 of what comes after ($2, $4, $5, $6, $7). Within a version entities
-- come first, then connections, connections that went, entities that went: the order in which a batch is applied. Each part is
-- ordered and cut by itself, so that it is read in the order of its index.
SELECT c.since, c.at, c.rank, c.a, c.b, c.c, c.flux_position, c.parent_id, c.depth, c.data::text AS data, c.strength, c.label
FROM (
    (SELECT e.since, e.at, r.rank, e.id AS a, '' AS b, '' AS c, e.flux_position, e.parent_id, e.depth, e.data,
            NULL::double precision AS strength, NULL::text AS label
    FROM eustress_entity_versions e CROSS JOIN LATERAL (SELECT CASE WHEN e.data IS NULL THEN 3 ELSE 0 END AS rank) r
    WHERE e.space_name = $1 AND e.since >= $2::bigint
        AND (e.since, r.rank, e.id, '', '') > ($2, $4::integer, $5::text, $6::text, $7::text)
    ORDER BY e.since, r.rank, e.id
    LIMIT $3)
    UNION ALL
    (SELECT n.since, n.at, r.rank, n.source_id, n.target_id, n.connection_type, NULL, NULL, NULL, NULL, n.strength, n.label
    FROM eustress_connection_versions n CROSS JOIN LATERAL (SELECT CASE WHEN n.strength IS NULL THEN 2 ELSE 1 END AS rank) r
    WHERE n.space_name = $1 AND n.since >= $2::bigint
        AND (n.since, r.rank, n.source_id, n.target_id, n.connection_type)
            > ($2, $4::integer, $5::text, $6::text, $7::text)
    ORDER BY n.since, r.rank, n.source_id, n.target_id, n.connection_type
    LIMIT $3)
) c
ORDER BY c.since, c.rank, c.a, c.b, c.c
LIMIT $3
