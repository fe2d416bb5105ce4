-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO audio_voices AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM audio_voices old WHERE old.id = (row.value ->> 'id')::uuid),
        NULL::audio_voices),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    device = excluded.device, practitioner_id = excluded.practitioner_id, session_id = excluded.session_id,
    begins_at = excluded.begins_at, ends_at = excluded.ends_at
