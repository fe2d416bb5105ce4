-- Rows that are no more.
DELETE FROM auth_sessions WHERE id = ANY ($1::uuid[])
