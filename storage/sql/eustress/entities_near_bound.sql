-- A distance within which there are $6 of what entities_near.sql would find without a radius; NULL where there are fewer. Those
-- that lie nearest on the plan (x, z), which the index knows, are so many; the farthest of them bounds how far to look.
SELECT CASE WHEN count(*) = $6::bigint THEN max(n.distance) END AS distance
FROM (
    SELECT p.distance
    FROM (
        (SELECT v.x, v.z, d.distance
        FROM eustress_entity_versions v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN abs(v.x - $20::double precision) < 1e-150 THEN 0 ELSE v.x - $20 END AS x,
                   CASE WHEN abs(v.y - $21::double precision) < 1e-150 THEN 0 ELSE v.y - $21 END AS y,
                   CASE WHEN abs(v.z - $22::double precision) < 1e-150 THEN 0 ELSE v.z - $22 END AS z
        ) a
        CROSS JOIN LATERAL (SELECT sqrt(a.x * a.x + a.y * a.y + a.z * a.z) AS distance) d
        WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint AND data IS NOT NULL
            AND ($7::smallint[] IS NULL OR flux_position = ANY($7))
            AND ($8::integer IS NULL OR depth = $8)
            AND ($9::text IS NULL OR parent_id = $9)
            AND ($10::text IS NULL OR data ->> 'class_type' = $10)
            AND ($11::text IS NULL OR data -> 'tags' ? $11)
            AND ($12::text[] IS NULL OR id = ANY($12))
            AND ($13::integer IS NULL OR mod(hashtext(id) & 2147483647, $13) = 0)
            AND ($14::double precision IS NULL OR (
                point(v.x, v.z) <@ box(point($14, $16::double precision), point($17::double precision, $19::double precision))
                AND v.x BETWEEN $14 AND $17 AND v.y BETWEEN $15::double precision AND $18::double precision
                AND v.z BETWEEN $16 AND $19))
            AND ($24::double precision IS NULL OR (d.distance, v.id) > ($24, $5::text))
            AND ($23::double precision IS NULL OR d.distance <= $23)
        ORDER BY point(v.x, v.z) <-> point($20, $22)
        LIMIT $6)
        UNION ALL
        (SELECT v.x, v.z, d.distance
        FROM eustress_entity_versions v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN abs(v.x - $20::double precision) < 1e-150 THEN 0 ELSE v.x - $20 END AS x,
                   CASE WHEN abs(v.y - $21::double precision) < 1e-150 THEN 0 ELSE v.y - $21 END AS y,
                   CASE WHEN abs(v.z - $22::double precision) < 1e-150 THEN 0 ELSE v.z - $22 END AS z
        ) a
        CROSS JOIN LATERAL (SELECT sqrt(a.x * a.x + a.y * a.y + a.z * a.z) AS distance) d
        WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint AND data IS NOT NULL
            AND ($7::smallint[] IS NULL OR flux_position = ANY($7))
            AND ($8::integer IS NULL OR depth = $8)
            AND ($9::text IS NULL OR parent_id = $9)
            AND ($10::text IS NULL OR data ->> 'class_type' = $10)
            AND ($11::text IS NULL OR data -> 'tags' ? $11)
            AND ($12::text[] IS NULL OR id = ANY($12))
            AND ($13::integer IS NULL OR mod(hashtext(id) & 2147483647, $13) = 0)
            AND ($14::double precision IS NULL OR (
                point(v.x, v.z) <@ box(point($14, $16::double precision), point($17::double precision, $19::double precision))
                AND v.x BETWEEN $14 AND $17 AND v.y BETWEEN $15::double precision AND $18::double precision
                AND v.z BETWEEN $16 AND $19))
            AND ($24::double precision IS NULL OR (d.distance, v.id) > ($24, $5::text))
            AND ($23::double precision IS NULL OR d.distance <= $23)
        ORDER BY point(v.x, v.z) <-> point($20, $22)
        LIMIT $6)
    ) p
    WHERE $4::boolean IS NOT NULL
    ORDER BY point(p.x, p.z) <-> point($20, $22)
    LIMIT $6
) n
