-- Tokens of the services' accounts $1 that count now, newest first.
SELECT id, service, name, created_at, expires_at FROM auth_sessions
WHERE practitioner_id = ANY ($1::uuid[]) AND service IS NOT NULL AND revoked_at IS NULL
    AND expires_at > clock_timestamp()
ORDER BY created_at DESC, id DESC
