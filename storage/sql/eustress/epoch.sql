-- The epoch $1.
SELECT id::text, space_name, snapshot_ids::text AS snapshot_ids, start_time, end_time, sample_count, stats::text AS stats,
       created_at, consolidated_into::text
FROM eustress_epochs WHERE id = $1::uuid
