-- Versions of the space $1 that hold no longer.
-- Each is looked up by its key and found again by its place. Written as a plain join, or with id = e.id, a plan that was made
-- before the table had statistics took any index that begins with the space, and read all that lives there or all that began with
-- the same version (2 s for 100 of 200,000 rows). The one index that gives the order by id is that of what lives.
UPDATE eustress_entity_versions v SET until = e.until, ended_at = e.at
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[]) e (id, since, until, at)
CROSS JOIN LATERAL (
    SELECT w.tableoid AS part, w.ctid AS place, w.id, w.since FROM eustress_entity_versions w
    WHERE w.space_name = $1 AND w.id >= e.id AND w.until = 9223372036854775807
    ORDER BY w.id LIMIT 1
) live
WHERE live.id = e.id AND live.since = e.since
    AND v.space_name = $1 AND v.tableoid = live.part AND v.ctid = live.place
