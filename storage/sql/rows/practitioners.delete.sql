-- Rows that are no more.
DELETE FROM practitioners WHERE id = ANY ($1::uuid[])
