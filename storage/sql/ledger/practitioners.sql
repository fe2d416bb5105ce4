-- Whoever has a journal or states; $1 alone where it is given.
SELECT entity_id AS id FROM journal WHERE kind = 'practitioner' AND ($1::text IS NULL OR entity_id = $1::text)
UNION
SELECT practitioner_id::text FROM archetypal_states WHERE $1::text IS NULL OR practitioner_id = $1::uuid
