SELECT count(*) FROM collective_spaces WHERE facilitator_id = $1::uuid AND closed_at IS NULL
