-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO collective_spaces AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM collective_spaces old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(
            NULL::collective_spaces,
            jsonb_build_object('participant_limit', 12, 'current_participants', 0, 'shared_state', '{}'::jsonb,
                               'access_level', 'invite', 'created_at', now(), 'updated_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, purpose = excluded.purpose, tradition = excluded.tradition,
    facilitator_id = excluded.facilitator_id, participant_limit = excluded.participant_limit,
    current_participants = excluded.current_participants, shared_state = excluded.shared_state,
    ritual_schedule = excluded.ritual_schedule, access_level = excluded.access_level, created_at = excluded.created_at,
    slug = excluded.slug, closed_at = excluded.closed_at, updated_at = excluded.updated_at
