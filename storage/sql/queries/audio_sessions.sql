-- Audio sessions of $1 before the session $3, newest first, of status $4 only where it is given. One that ran and is over is
-- completed, though its alarm may still be late.
SELECT * FROM audio_sessions s
WHERE s.owner_id = $1::uuid
    AND ($4::text IS NULL OR $4 = CASE
        WHEN s.anchor_at + make_interval(secs => s.duration - s.position_s) <= now() THEN 'completed' ELSE s.status END)
    AND ($3::uuid IS NULL
         OR (s.created_at, s.id) < (SELECT c.created_at, c.id FROM audio_sessions c WHERE c.id = $3::uuid))
ORDER BY s.created_at DESC, s.id DESC
LIMIT $2
