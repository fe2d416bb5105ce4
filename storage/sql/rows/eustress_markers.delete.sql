-- Rows that are no more.
DELETE FROM eustress_markers WHERE id = ANY ($1::uuid[])
