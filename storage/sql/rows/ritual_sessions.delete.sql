-- Rows that are no more.
DELETE FROM ritual_sessions WHERE id = ANY ($1::uuid[])
