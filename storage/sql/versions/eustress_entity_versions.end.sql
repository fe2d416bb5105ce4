-- Versions of the space $1 that hold no longer.
UPDATE eustress_entity_versions v SET until = e.until, ended_at = e.at
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[]) e (id, since, until, at)
WHERE v.space_name = $1 AND v.id = e.id AND v.since = e.since AND v.until = 9223372036854775807
