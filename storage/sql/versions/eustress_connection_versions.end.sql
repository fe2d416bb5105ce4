-- Versions of the space $1 that hold no longer; written as eustress_entity_versions.end.sql is, for the same reason.
UPDATE eustress_connection_versions v SET until = e.until, ended_at = e.at
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])
    e (source_id, target_id, connection_type, since, until, at)
CROSS JOIN LATERAL (
    SELECT w.tableoid AS part, w.ctid AS place, w.source_id, w.target_id, w.connection_type, w.since
    FROM eustress_connection_versions w
    WHERE w.space_name = $1 AND w.until = 9223372036854775807
        AND (w.source_id, w.target_id, w.connection_type) >= (e.source_id, e.target_id, e.connection_type)
    ORDER BY w.source_id, w.target_id, w.connection_type LIMIT 1
) live
WHERE live.source_id = e.source_id AND live.target_id = e.target_id AND live.connection_type = e.connection_type
    AND live.since = e.since AND v.space_name = $1 AND v.tableoid = live.part AND v.ctid = live.place
