-- Rows that are no more.
DELETE FROM prayer_wheels WHERE id = ANY ($1::uuid[])
