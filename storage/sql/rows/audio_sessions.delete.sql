-- Rows that are no more.
DELETE FROM audio_sessions WHERE id = ANY ($1::uuid[])
