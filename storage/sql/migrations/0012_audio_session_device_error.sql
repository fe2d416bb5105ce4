-- Why the sound device of a session does not play it, in words.
ALTER TABLE audio_sessions ADD COLUMN device_error text;
