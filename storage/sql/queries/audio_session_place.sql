SELECT owner_id, space_id FROM audio_sessions WHERE id = $1::uuid
