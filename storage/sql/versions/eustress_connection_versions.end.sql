-- Versions of the space $1 that hold no longer.
UPDATE eustress_connection_versions v SET until = e.until, ended_at = e.at
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])
    e (source_id, target_id, connection_type, since, until, at)
WHERE v.space_name = $1 AND v.source_id = e.source_id AND v.target_id = e.target_id
    AND v.connection_type = e.connection_type AND v.since = e.since AND v.until = 9223372036854775807
