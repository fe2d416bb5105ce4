-- Rituals that nobody published and whose author's account is gone.
SELECT id FROM sacred_rituals r
WHERE author_id IS NOT NULL AND withdrawn_at IS NULL AND NOT is_public
    AND NOT EXISTS (SELECT FROM practitioners p WHERE p.id = r.author_id)
ORDER BY id LIMIT $1
