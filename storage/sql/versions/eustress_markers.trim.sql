-- At most $4 snapshots of the space $1 go that are older than $2 (and not older than $3) and in no epoch, the oldest first.
DELETE FROM eustress_markers WHERE id IN (
    SELECT m.id FROM eustress_markers m
    WHERE m.space_name = $1 AND m.timestamp < $2 AND m.timestamp >= coalesce($3, '-infinity'::timestamptz)
        AND m.id::text NOT IN (
            SELECT jsonb_array_elements_text(e.snapshot_ids) FROM eustress_epochs e WHERE e.space_name = $1)
    ORDER BY m.timestamp LIMIT $4)
