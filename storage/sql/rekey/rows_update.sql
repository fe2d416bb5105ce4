-- Only rows whose columns are still what they were; one that a commit holds is passed over, as in checkpoints_update.sql.
WITH mine AS MATERIALIZED (
    SELECT id FROM {table} WHERE id = ANY ($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE {table} t SET ({columns}) = (SELECT {columns} FROM jsonb_populate_record(t, u.new))
FROM unnest($1::uuid[], $2::jsonb[], $3::jsonb[]) u (id, old, new) JOIN mine ON mine.id = u.id
WHERE t.id = u.id
    AND (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(t)) WHERE u.old ? key) = u.old
