-- Audio sessions that are neither stopped nor completed, of $1 and of the spaces that $1 participates in, and whether they
-- are $1's own: these first, then the newest first. One that ran and is over is completed, though its alarm may still be late.
SELECT s.id, s.owner_id = $1::uuid AS own FROM audio_sessions s
WHERE (s.owner_id = $1::uuid
       OR s.space_id IN (SELECT m.space_id FROM space_members m WHERE m.practitioner_id = $1::uuid AND m.participant))
    AND s.status IN ('created', 'running', 'paused')
    AND (s.anchor_at IS NULL OR s.anchor_at + make_interval(secs => s.duration - s.position_s) > now())
ORDER BY own DESC, s.created_at DESC, s.id DESC
LIMIT $2
