-- Rows that are no more.
DELETE FROM prayer_accumulations WHERE id = ANY ($1::uuid[])
