-- The epoch $1 as an export tells it, and the versions of its space that its snapshots are, ascending.
SELECT e.id, e.space_name, e.start_time, e.end_time, e.sample_count, e.stats::text AS stats, e.created_at, v.versions
FROM eustress_epochs e,
    LATERAL (
        SELECT coalesce(array_agg(m.version ORDER BY m.version), '{}') AS versions
        FROM jsonb_array_elements_text(e.snapshot_ids) s (id)
        JOIN eustress_markers m ON m.id = s.id::uuid AND m.space_name = e.space_name
    ) v
WHERE e.id = $1
