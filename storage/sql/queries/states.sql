-- The states of $1 before version $3, or before the state $4, newest first. Ids of states can be computed: another's tells nothing.
SELECT id, version, state_data, state_hash, prev_hash, origin, session_id, created_at
FROM archetypal_states
WHERE practitioner_id = $1::uuid
    AND ($3::int IS NULL OR version < $3)
    AND ($4::uuid IS NULL OR version < (SELECT c.version FROM archetypal_states c WHERE c.id = $4::uuid AND c.practitioner_id = $1::uuid))
ORDER BY version DESC
LIMIT $2
