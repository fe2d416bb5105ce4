-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO practitioners AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM practitioners old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(
            NULL::practitioners,
            jsonb_build_object('archetypal_preferences', '{}'::jsonb, 'energy_alignments', '{}'::jsonb,
                               'privacy_level', 'private', 'created_at', now(), 'updated_at', now(),
                               'oracle_consent', false))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    email = excluded.email, password_hash = excluded.password_hash, spiritual_name = excluded.spiritual_name,
    archetypal_preferences = excluded.archetypal_preferences, energy_alignments = excluded.energy_alignments,
    privacy_level = excluded.privacy_level, sacred_path = excluded.sacred_path, created_at = excluded.created_at,
    updated_at = excluded.updated_at, oracle_consent = excluded.oracle_consent
