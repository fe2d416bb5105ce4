-- Which version of space $1 was the newest at the time $2 (0: none was), as far as rows tell; and the space's horizon, before
-- which they no longer tell everything. Within a space versions and times rise together, so both searches go back from the
-- newest row and end at the first that fits.
SELECT s.horizon, greatest(
    (SELECT e.since FROM eustress_entity_versions e WHERE e.space_name = $1 AND e.at <= $2 ORDER BY e.since DESC LIMIT 1),
    (SELECT c.since FROM eustress_connection_versions c WHERE c.space_name = $1 AND c.at <= $2 ORDER BY c.since DESC LIMIT 1),
    0) AS version
FROM eustress_spaces s WHERE s.id = $1
