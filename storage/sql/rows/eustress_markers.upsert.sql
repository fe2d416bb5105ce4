-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO eustress_markers AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM eustress_markers old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(NULL::eustress_markers, jsonb_build_object('created_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    space_name = excluded.space_name, version = excluded.version, timestamp = excluded.timestamp,
    reason = excluded.reason, metadata = excluded.metadata, created_at = excluded.created_at
