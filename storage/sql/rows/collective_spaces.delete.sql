-- Rows that are no more.
DELETE FROM collective_spaces WHERE id = ANY ($1::uuid[])
