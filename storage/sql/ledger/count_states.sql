SELECT count(*) FROM archetypal_states WHERE $1::text IS NULL OR practitioner_id = $1::uuid
