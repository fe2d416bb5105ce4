-- Rows that are no more.
DELETE FROM eustress_archives WHERE id = ANY ($1::uuid[])
