-- Rows that are no more.
DELETE FROM space_members WHERE id = ANY ($1::uuid[])
