-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO prayer_accumulations AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM prayer_accumulations old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(
            NULL::prayer_accumulations, jsonb_build_object('intention', '', 'rotations', 0, 'updated_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    practitioner_id = excluded.practitioner_id, mantra = excluded.mantra, intention = excluded.intention,
    rotations = excluded.rotations, began_at = excluded.began_at, updated_at = excluded.updated_at,
    dedicated_at = excluded.dedicated_at, dedication = excluded.dedication, dedication_id = excluded.dedication_id
