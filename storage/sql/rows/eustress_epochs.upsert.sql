-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO eustress_epochs AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM eustress_epochs old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(NULL::eustress_epochs, jsonb_build_object('created_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    space_name = excluded.space_name, snapshot_ids = excluded.snapshot_ids, start_time = excluded.start_time,
    end_time = excluded.end_time, sample_count = excluded.sample_count, stats = excluded.stats,
    created_at = excluded.created_at, consolidated_into = excluded.consolidated_into
