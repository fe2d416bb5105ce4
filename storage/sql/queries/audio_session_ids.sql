-- Ids of audio sessions of $1, by id; where $3 only if the account is gone.
SELECT s.id FROM audio_sessions s
WHERE s.owner_id = $1::uuid AND NOT ($3::boolean AND EXISTS (SELECT FROM practitioners p WHERE p.id = $1::uuid))
ORDER BY s.id
LIMIT $2
