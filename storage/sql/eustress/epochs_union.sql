-- What the epochs $2 of space $1 have together: the ids of their snapshots in the order of their versions, these versions, and the
-- time that they span. start_time is NULL where there is none of them.
WITH epochs AS (
    SELECT snapshot_ids, start_time, end_time FROM eustress_epochs WHERE space_name = $1 AND id = ANY ($2::uuid[])
), markers AS (
    SELECT m.id, m.version FROM eustress_markers m
    WHERE m.space_name = $1
        AND m.id IN (SELECT s.id::uuid FROM epochs e, jsonb_array_elements_text(e.snapshot_ids) s (id))
)
SELECT (SELECT coalesce(array_agg(id::text ORDER BY version, id), '{}') FROM markers) AS snapshot_ids,
    (SELECT coalesce(array_agg(version ORDER BY version, id), '{}') FROM markers) AS versions,
    min(start_time) AS start_time, max(end_time) AS end_time
FROM epochs
