-- Rows that are no more.
DELETE FROM audio_voices WHERE id = ANY ($1::uuid[])
