-- At most $4 rows of the space $1 go that ended before $2 (and not before $3) and that no snapshot shows, the oldest first; and of
-- what is not there since before $2, the word that it is not; unless that word says too that it may not train, and there is a
-- snapshot that may show it from before.
-- No snapshot shows a version where as many are of before it as of before its end. That is asked of an array, once for all rows:
-- what stays is looked at in every step (300,000 rows: 37 ms), and looking a marker up for each took 0.4 s, or longer than a
-- statement may where the planner took the wrong one of two indexes.
WITH shown AS MATERIALIZED (
    SELECT coalesce(array_agg(version ORDER BY version), '{}') AS versions FROM eustress_markers WHERE space_name = $1
)
DELETE FROM eustress_entity_versions v
USING (
    (SELECT e.tableoid AS part, e.ctid AS place FROM eustress_entity_versions e
     WHERE e.space_name = $1 AND e.ended_at < $2 AND e.ended_at >= coalesce($3, '-infinity'::timestamptz)
        AND (e.data IS NULL
            OR width_bucket(e.since - 1, (SELECT versions FROM shown)) = width_bucket(e.until - 1, (SELECT versions FROM shown)))
     ORDER BY e.ended_at LIMIT $4)
    UNION ALL
    (SELECT e.tableoid, e.ctid FROM eustress_entity_versions e
     WHERE e.space_name = $1 AND e.at < $2 AND e.until = 9223372036854775807 AND e.data IS NULL
        AND NOT (e.trains IS FALSE AND coalesce((SELECT versions[1] FROM shown) < e.since, false))
     ORDER BY e.at LIMIT $4)
    LIMIT $4
) gone
WHERE v.space_name = $1 AND v.tableoid = gone.part AND v.ctid = gone.place
