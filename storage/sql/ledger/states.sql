-- The chains of $1, one after the other.
SELECT practitioner_id::text AS practitioner_id, id, version, state_data, archetypes, energies, integrations, symbols,
       transformations, state_hash, prev_hash
FROM archetypal_states
WHERE practitioner_id = ANY ($1::uuid[])
ORDER BY practitioner_id::text COLLATE "C", version, id
