-- Rows that are no more.
DELETE FROM oracle_insights WHERE id = ANY ($1::uuid[])
