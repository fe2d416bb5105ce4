-- The journals of $1, one after the other.
SELECT entity_id AS practitioner_id, seq, at, event_type, format, data
FROM journal
WHERE kind = 'practitioner' AND entity_id = ANY ($1::text[])
ORDER BY entity_id COLLATE "C", seq
