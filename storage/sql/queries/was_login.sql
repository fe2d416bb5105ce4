-- Whether there ever was a login with this token.
SELECT true AS was FROM auth_sessions WHERE token_hash = $1
