-- The number of an entity's last event.
SELECT max(seq) AS seq FROM journal WHERE kind = $1 AND entity_id = $2
