-- Rituals that $1 uploaded and neither published nor withdrew.
SELECT id FROM sacred_rituals WHERE author_id = $1::uuid AND withdrawn_at IS NULL AND NOT is_public ORDER BY id LIMIT $2
