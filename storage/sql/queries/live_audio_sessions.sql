-- Ids of audio sessions of $1 that are neither stopped nor completed, newest first.
SELECT id FROM audio_sessions s
WHERE s.owner_id = $1::uuid AND s.status IN ('created', 'running', 'paused')
    AND (s.anchor_at IS NULL OR s.anchor_at + make_interval(secs => s.duration - s.position_s) > now())
ORDER BY s.created_at DESC, s.id DESC
LIMIT $2
