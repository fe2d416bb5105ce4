-- As entities.sql, those nearest to ($20, $21, $22) first: $6 of those beyond the distance $24 (or at it, with an id after $5) and
-- at most $23 away, with the distance: sqrt(dx^2 + dy^2 + dz^2) in doubles. A difference whose square would be 0 counts as none,
-- for the server refuses to underflow. The box bounds what is looked at.
SELECT v.id, v.since, v.at, v.flux_position, v.x, v.y, v.z, v.parent_id, v.depth,
       CASE WHEN $4::boolean THEN v.data::text END AS data, d.distance
FROM (
    SELECT id, since, at, flux_position, x, y, z, parent_id, depth, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint AND data IS NOT NULL
        AND ($7::smallint[] IS NULL OR flux_position = ANY($7))
        AND ($8::integer IS NULL OR depth = $8)
        AND ($9::text IS NULL OR parent_id = $9)
        AND ($10::text IS NULL OR data ->> 'class_type' = $10)
        AND ($11::text IS NULL OR data -> 'tags' ? $11)
        AND ($12::text[] IS NULL OR id = ANY($12))
        AND ($13::integer IS NULL OR mod(hashtext(id) & 2147483647, $13) = 0)
        AND ($14::double precision IS NULL OR (
            point(x, z) <@ box(point($14, $16::double precision), point($17::double precision, $19::double precision))
            AND x BETWEEN $14 AND $17 AND y BETWEEN $15::double precision AND $18::double precision
            AND z BETWEEN $16 AND $19))
    UNION ALL
    SELECT id, since, at, flux_position, x, y, z, parent_id, depth, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint AND data IS NOT NULL
        AND ($7::smallint[] IS NULL OR flux_position = ANY($7))
        AND ($8::integer IS NULL OR depth = $8)
        AND ($9::text IS NULL OR parent_id = $9)
        AND ($10::text IS NULL OR data ->> 'class_type' = $10)
        AND ($11::text IS NULL OR data -> 'tags' ? $11)
        AND ($12::text[] IS NULL OR id = ANY($12))
        AND ($13::integer IS NULL OR mod(hashtext(id) & 2147483647, $13) = 0)
        AND ($14::double precision IS NULL OR (
            point(x, z) <@ box(point($14, $16::double precision), point($17::double precision, $19::double precision))
            AND x BETWEEN $14 AND $17 AND y BETWEEN $15::double precision AND $18::double precision
            AND z BETWEEN $16 AND $19))
) v
CROSS JOIN LATERAL (
    SELECT CASE WHEN abs(v.x - $20::double precision) < 1e-150 THEN 0 ELSE v.x - $20 END AS x,
           CASE WHEN abs(v.y - $21::double precision) < 1e-150 THEN 0 ELSE v.y - $21 END AS y,
           CASE WHEN abs(v.z - $22::double precision) < 1e-150 THEN 0 ELSE v.z - $22 END AS z
) a
CROSS JOIN LATERAL (SELECT sqrt(a.x * a.x + a.y * a.y + a.z * a.z) AS distance) d
WHERE ($24::double precision IS NULL OR (d.distance, v.id) > ($24, $5::text))
    AND ($23::double precision IS NULL OR d.distance <= $23)
ORDER BY d.distance, v.id
LIMIT $6
