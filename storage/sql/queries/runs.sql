-- The runs of $1 before the run $3, newest first, of ritual $4 only where it is given.
SELECT s.id, s.ritual_id, r.name AS ritual_name, s.status, s.error_code, s.error_message, s.intention, s.parameters,
       s.pre_state_id, s.post_state_id, s.execution_duration_ms,
       s.transformation_intensity::float8 AS transformation_intensity, s.subjective_experience, s.ai_interpretation,
       s.integration_notes, s.effectiveness_rating, s.module_hash, s.fuel, s.participants, s.group_id, s.space_id,
       s.created_at, s.ended_at
FROM ritual_sessions s LEFT JOIN sacred_rituals r ON r.id = s.ritual_id
WHERE s.practitioner_id = $1::uuid
    AND ($4::uuid IS NULL OR s.ritual_id = $4)
    AND ($3::uuid IS NULL
         OR (s.created_at, s.id) < (SELECT c.created_at, c.id FROM ritual_sessions c
                                       WHERE c.id = $3::uuid AND c.practitioner_id = $1::uuid))
ORDER BY s.created_at DESC, s.id DESC
LIMIT $2
