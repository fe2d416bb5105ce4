-- Who ($2) listens to audio sessions ($1) of others, pair by pair, without rows that say that both they and the owner participate
-- in the open space that it is shared with. (A guest has no row: of whom that is said, the space has to be asked, if it is open.)
SELECT w.session_id, w.practitioner_id, a.owner_id, a.expires_at IS NOT NULL AS guest, c.id AS space_id
FROM unnest($1::uuid[], $2::uuid[]) AS w (session_id, practitioner_id)
JOIN audio_sessions a ON a.id = w.session_id
LEFT JOIN collective_spaces c ON c.id = a.space_id AND c.closed_at IS NULL
WHERE a.owner_id <> w.practitioner_id
    AND (SELECT count(*) FROM space_members m
         WHERE m.space_id = c.id AND m.practitioner_id IN (w.practitioner_id, a.owner_id) AND m.participant) < 2
