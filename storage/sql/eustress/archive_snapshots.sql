-- The snapshots of space $1 that go when those of before $2 (and not before $3) go: such as are in no epoch.
SELECT m.id::text AS id, m.version, m.timestamp, m.reason, m.created_at, m.metadata::text AS metadata
FROM eustress_markers m
WHERE m.space_name = $1 AND m.timestamp < $2 AND m.timestamp >= coalesce($3, '-infinity'::timestamptz)
    AND m.id::text NOT IN (
        SELECT jsonb_array_elements_text(e.snapshot_ids) FROM eustress_epochs e WHERE e.space_name = $1)
ORDER BY m.version, m.id
