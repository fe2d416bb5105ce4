-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO space_members AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM space_members old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(
            NULL::space_members, jsonb_build_object('participant', false, 'known_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    space_id = excluded.space_id, practitioner_id = excluded.practitioner_id, participant = excluded.participant,
    known_at = excluded.known_at, departed_at = excluded.departed_at
