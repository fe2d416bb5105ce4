-- A login that still counts, by the hash of its token.
SELECT id, practitioner_id, created_at, expires_at, service, name FROM auth_sessions
WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > clock_timestamp()
