-- Audio sessions that are neither stopped nor completed, of $1 (no space) and of the open spaces that both $1 and their owner
-- participate in (a guest has no row: whether they do, the space has to be asked): $1's own first, then the newest first. One that
-- ran and is over is completed, though its alarm may still be late.
SELECT s.id, CASE WHEN s.owner_id <> $1::uuid THEN s.space_id END AS space_id,
    CASE WHEN s.owner_id <> $1::uuid AND s.expires_at IS NOT NULL THEN s.owner_id END AS guest_id
FROM audio_sessions s
WHERE (s.owner_id = $1::uuid
       OR (s.space_id IN (
               SELECT m.space_id FROM space_members m JOIN collective_spaces c ON c.id = m.space_id
               WHERE m.practitioner_id = $1::uuid AND m.participant AND c.closed_at IS NULL)
           AND (s.expires_at IS NOT NULL OR EXISTS (
               SELECT FROM space_members o
               WHERE o.space_id = s.space_id AND o.practitioner_id = s.owner_id AND o.participant))))
    AND s.status IN ('created', 'running', 'paused')
    AND (s.anchor_at IS NULL OR s.anchor_at + make_interval(secs => s.duration - s.position_s) > now())
ORDER BY s.owner_id = $1::uuid DESC, s.created_at DESC, s.id DESC
LIMIT $2
