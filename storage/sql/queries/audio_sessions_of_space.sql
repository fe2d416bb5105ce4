-- Audio sessions that are shared with the open space $1 by those who participate in it (guests, whose sessions expire, have no row:
-- whether they do, the space has to be asked), before the session $3, newest first.
SELECT s.* FROM audio_sessions s
WHERE s.space_id = $1::uuid
    AND EXISTS (SELECT FROM collective_spaces c WHERE c.id = s.space_id AND c.closed_at IS NULL)
    AND (s.expires_at IS NOT NULL OR EXISTS (
        SELECT FROM space_members m WHERE m.space_id = s.space_id AND m.practitioner_id = s.owner_id AND m.participant))
    AND ($3::uuid IS NULL
         OR (s.created_at, s.id) < (SELECT c.created_at, c.id FROM audio_sessions c WHERE c.id = $3::uuid))
ORDER BY s.created_at DESC, s.id DESC
LIMIT $2
