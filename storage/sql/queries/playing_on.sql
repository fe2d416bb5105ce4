-- Who plays what on the sound device $1 at this moment: a session's, or (null) a sound of their own.
SELECT practitioner_id, session_id FROM audio_voices WHERE device = $1 AND ends_at > now()
