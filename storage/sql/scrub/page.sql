-- A space's events after $2.
SELECT seq, format, data FROM journal WHERE kind = 'space' AND entity_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
