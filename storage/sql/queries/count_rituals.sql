SELECT count(*) FROM sacred_rituals WHERE author_id = $1::uuid AND withdrawn_at IS NULL
