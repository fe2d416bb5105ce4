-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO auth_sessions AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM auth_sessions old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(NULL::auth_sessions, jsonb_build_object('created_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    practitioner_id = excluded.practitioner_id, token_hash = excluded.token_hash, created_at = excluded.created_at,
    expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, service = excluded.service, name = excluded.name
