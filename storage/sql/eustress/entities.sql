-- Entities of space $1 as they were at its version $2, by id: $6 of those after $5, with their data where $4.
-- What held at a version either holds still, or ended later: no earlier than $3, the time of that version. So what is long past
-- is not looked at, and the live scene (the greatest bigint, a time to come) is read by the live indexes alone. Each part is
-- ordered and cut by itself: a union is not read in the order of its parts' indexes (0.4 s a page of 1,000,000 entities).
-- Filters, NULL where there is none: flux positions $7, depth $8, parent $9, class type $10, tag $11, ids $12, one in $13 by
-- the hash of the id, a box from ($14, $15, $16) to ($17, $18, $19), its faces included.
-- To be planned with the values, not in general (reader_session.sql): only then a filter that is none costs nothing.
SELECT v.id, v.since, v.at, v.flux_position, v.x, v.y, v.z, v.parent_id, v.depth,
       CASE WHEN $4::boolean THEN v.data::text END AS data
FROM (
    (SELECT id, since, at, flux_position, x, y, z, parent_id, depth, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND until = 9223372036854775807 AND since <= $2::bigint AND data IS NOT NULL
        AND ($5::text IS NULL OR id > $5)
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
    ORDER BY id
    LIMIT $6)
    UNION ALL
    (SELECT id, since, at, flux_position, x, y, z, parent_id, depth, data
    FROM eustress_entity_versions
    WHERE space_name = $1 AND ended_at >= $3::timestamptz AND since <= $2::bigint AND until > $2::bigint AND data IS NOT NULL
        AND ($5::text IS NULL OR id > $5)
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
    ORDER BY id
    LIMIT $6)
) v
ORDER BY v.id
LIMIT $6
