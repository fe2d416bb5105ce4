-- Events of an entity after $3; of the type $5 alone where there is one.
SELECT seq, format, data FROM journal
WHERE kind = $1 AND entity_id = $2 AND seq > $3 AND ($5::text IS NULL OR event_type = $5)
ORDER BY seq LIMIT $4
