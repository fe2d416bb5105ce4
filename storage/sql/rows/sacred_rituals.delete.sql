-- Rows that are no more.
DELETE FROM sacred_rituals WHERE id = ANY ($1::uuid[])
