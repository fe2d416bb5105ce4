-- Whose an audio session is, whether that is a guest, and the space that it is shared with, if that is open and the owner
-- participates in it (a guest has no row, and the space itself knows).
SELECT a.owner_id, a.expires_at IS NOT NULL AS guest, CASE
    WHEN EXISTS (
        SELECT FROM collective_spaces c WHERE c.id = a.space_id AND c.closed_at IS NULL)
        AND (a.expires_at IS NOT NULL OR EXISTS (
            SELECT FROM space_members m
            WHERE m.space_id = a.space_id AND m.practitioner_id = a.owner_id AND m.participant))
    THEN a.space_id END AS space_id
FROM audio_sessions a WHERE a.id = $1::uuid
