-- Rows that are no more.
DELETE FROM eustress_spaces WHERE id = ANY ($1::text[])
