-- Epochs of space $1 (of any, where it is NULL), newest first: $3 of those before the epoch $2.
SELECT id::text, space_name, snapshot_ids::text AS snapshot_ids, start_time, end_time, sample_count, stats::text AS stats,
       created_at, consolidated_into::text
FROM eustress_epochs
WHERE ($1::text IS NULL OR space_name = $1)
    AND ($2::uuid IS NULL OR (created_at, id) < (SELECT b.created_at, b.id FROM eustress_epochs b WHERE b.id = $2))
ORDER BY created_at DESC, id DESC
LIMIT $3
