-- At most $2 rows of the practitioner $1.
DELETE FROM archetypal_states WHERE id IN (SELECT id FROM archetypal_states WHERE practitioner_id = $1::uuid LIMIT $2)
