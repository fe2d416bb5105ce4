-- At most $2 rows of the practitioner $1.
DELETE FROM prayer_accumulations WHERE id IN (SELECT id FROM prayer_accumulations WHERE practitioner_id = $1::uuid LIMIT $2)
