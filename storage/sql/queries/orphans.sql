-- Rituals of $1 that nobody published, where the account is gone.
SELECT id FROM sacred_rituals
WHERE author_id = $1::uuid AND withdrawn_at IS NULL AND NOT is_public
    AND NOT EXISTS (SELECT FROM practitioners p WHERE p.id = $1::uuid)
LIMIT $2
