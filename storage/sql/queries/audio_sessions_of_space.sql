-- Audio sessions that are shared with the space $1, before the session $3, newest first.
SELECT * FROM audio_sessions s
WHERE s.space_id = $1::uuid
    AND ($3::uuid IS NULL
         OR (s.created_at, s.id) < (SELECT c.created_at, c.id FROM audio_sessions c WHERE c.id = $3::uuid))
ORDER BY s.created_at DESC, s.id DESC
LIMIT $2
