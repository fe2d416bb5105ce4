-- What an epoch of space $1 has whose snapshots are of the versions $2 (ascending), as one row; 0 where there is nothing.
-- A sample is a version of an entity that one of the snapshots shows: the first snapshot since it began came before it ended.
-- What an entity said last of training counts for all of its versions, then the space's policy; a connection counts (once, by
-- its key) where both ends may train. Coverage: occupied cells of a grid of 10 x 10 x 10 over the samples' bounds, by 1,000.
WITH words AS (
    SELECT DISTINCT ON (id) id, trains FROM eustress_entity_versions
    WHERE space_name = $1 AND trains IS NOT NULL
    ORDER BY id, since DESC
),
policy AS (
    SELECT coalesce((SELECT (policy ->> 'trains_by_default')::boolean FROM eustress_spaces WHERE id = $1), true) AS trains
),
samples AS MATERIALIZED (
    SELECT v.id, v.flux_position, v.depth, v.x, v.y, v.z, v.data ->> 'class_type' AS class_type
    FROM eustress_entity_versions v LEFT JOIN words w ON w.id = v.id
    WHERE v.space_name = $1 AND v.data IS NOT NULL
        AND ($2::bigint[])[width_bucket(v.since - 1, $2) + 1] < v.until
        AND coalesce(w.trains, (SELECT trains FROM policy))
),
bounds AS (
    SELECT min(x) AS x0, max(x) AS x1, min(y) AS y0, max(y) AS y1, min(z) AS z0, max(z) AS z1 FROM samples
),
cells AS (
    SELECT DISTINCT
        CASE WHEN x1 > x0 THEN least(width_bucket(x, x0, x1, 10), 10) ELSE 1 END,
        CASE WHEN y1 > y0 THEN least(width_bucket(y, y0, y1, 10), 10) ELSE 1 END,
        CASE WHEN z1 > z0 THEN least(width_bucket(z, z0, z1, 10), 10) ELSE 1 END
    FROM samples, bounds
),
connections AS (
    SELECT DISTINCT c.source_id, c.target_id, c.connection_type
    FROM eustress_connection_versions c
    LEFT JOIN words s ON s.id = c.source_id LEFT JOIN words t ON t.id = c.target_id
    WHERE c.space_name = $1 AND c.strength IS NOT NULL
        AND ($2::bigint[])[width_bucket(c.since - 1, $2) + 1] < c.until
        AND coalesce(s.trains, (SELECT trains FROM policy)) AND coalesce(t.trains, (SELECT trains FROM policy))
)
SELECT count(*) AS sample_count, count(DISTINCT id) AS total_entities,
       (SELECT count(*) FROM connections) AS total_connections,
       count(DISTINCT class_type) AS unique_types,
       coalesce(avg(depth), 0)::double precision AS avg_hierarchy_depth,
       coalesce((count(*) FILTER (WHERE flux_position IN (3, 6, 9)))::double precision / nullif(count(*), 0), 0)
           AS sacred_frequency,
       (SELECT count(*) FROM cells) / 1000::double precision AS spatial_coverage
FROM samples
