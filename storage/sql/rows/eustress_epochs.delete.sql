-- Rows that are no more.
DELETE FROM eustress_epochs WHERE id = ANY ($1::uuid[])
