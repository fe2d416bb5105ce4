-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO auth_sessions AS t
SELECT (jsonb_populate_record(
    CASE WHEN old.id IS NULL
        THEN jsonb_populate_record(NULL::auth_sessions, jsonb_build_object('created_at', now())) ELSE old END,
    row.value)).*
FROM jsonb_array_elements($1::jsonb) row LEFT JOIN auth_sessions old ON old.id = (row.value ->> 'id')::uuid
ON CONFLICT (id) DO UPDATE SET
    practitioner_id = excluded.practitioner_id, token_hash = excluded.token_hash, created_at = excluded.created_at,
    expires_at = excluded.expires_at, revoked_at = excluded.revoked_at
