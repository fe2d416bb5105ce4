-- Voices of $1 on sound devices, by device; where $2 only if the account is gone.
SELECT v.id, v.device, v.session_id, v.begins_at, v.ends_at FROM audio_voices v
WHERE v.practitioner_id = $1::uuid AND NOT ($2::boolean AND EXISTS (SELECT FROM practitioners p WHERE p.id = $1::uuid))
ORDER BY v.device, v.id
