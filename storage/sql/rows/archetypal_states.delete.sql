-- Rows that are no more.
DELETE FROM archetypal_states WHERE id = ANY ($1::uuid[])
