-- The versions, ascending, of the snapshots of space $1 that stay when those of before $2 (and not before $3) go: these too where
-- they are in an epoch.
SELECT coalesce(array_agg(m.version ORDER BY m.version), '{}')
FROM eustress_markers m
WHERE m.space_name = $1 AND (
    m.timestamp >= $2 OR m.timestamp < coalesce($3, '-infinity'::timestamptz)
    OR m.id::text IN (SELECT jsonb_array_elements_text(e.snapshot_ids) FROM eustress_epochs e WHERE e.space_name = $1)
)
