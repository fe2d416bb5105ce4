-- What changed the states of $1, one practitioner after the other; $2 are the types of events that do.
SELECT entity_id AS practitioner_id, seq, format, data
FROM journal
WHERE kind = 'practitioner' AND entity_id = ANY ($1::text[]) AND event_type = ANY ($2::text[])
ORDER BY entity_id COLLATE "C", seq
