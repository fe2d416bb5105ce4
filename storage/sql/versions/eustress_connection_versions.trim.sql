-- At most $4 rows of the space $1 go that ended before $2 (and not before $3) and that no snapshot shows, the oldest first; and of
-- what is not there since before $2, the word that it is not.
-- The array: see eustress_entity_versions.trim.sql.
WITH shown AS MATERIALIZED (
    SELECT coalesce(array_agg(version ORDER BY version), '{}') AS versions FROM eustress_markers WHERE space_name = $1
)
DELETE FROM eustress_connection_versions v
USING (
    (SELECT e.tableoid AS part, e.ctid AS place FROM eustress_connection_versions e
     WHERE e.space_name = $1 AND e.ended_at < $2 AND e.ended_at >= coalesce($3, '-infinity'::timestamptz)
        AND (e.strength IS NULL
            OR width_bucket(e.since - 1, (SELECT versions FROM shown)) = width_bucket(e.until - 1, (SELECT versions FROM shown)))
     ORDER BY e.ended_at LIMIT $4)
    UNION ALL
    (SELECT e.tableoid, e.ctid FROM eustress_connection_versions e
     WHERE e.space_name = $1 AND e.at < $2 AND e.until = 9223372036854775807 AND e.strength IS NULL
     ORDER BY e.at LIMIT $4)
    LIMIT $4
) gone
WHERE v.space_name = $1 AND v.tableoid = gone.part AND v.ctid = gone.place
