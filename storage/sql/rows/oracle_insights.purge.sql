-- At most $2 rows of the practitioner $1.
DELETE FROM oracle_insights WHERE id IN (SELECT id FROM oracle_insights WHERE practitioner_id = $1::uuid LIMIT $2)
