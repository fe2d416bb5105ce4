SELECT count(*) FROM audio_sessions WHERE owner_id = $1::uuid
