-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO eustress_archives AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM eustress_archives old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(NULL::eustress_archives, jsonb_build_object('created_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    space_name = excluded.space_name, from_version = excluded.from_version, to_version = excluded.to_version,
    from_time = excluded.from_time, to_time = excluded.to_time, files = excluded.files, created_at = excluded.created_at
