-- Logins of $1 that count now, newest first.
SELECT id, created_at, expires_at FROM auth_sessions
WHERE practitioner_id = $1::uuid AND revoked_at IS NULL AND expires_at > clock_timestamp()
ORDER BY created_at DESC, id DESC
