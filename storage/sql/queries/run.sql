-- The run $2 of $1, with its result and the states before and after it.
SELECT s.id, s.ritual_id, r.name AS ritual_name, s.status, s.error_code, s.error_message, s.intention, s.parameters,
       s.pre_state_id, s.post_state_id, s.execution_duration_ms,
       s.transformation_intensity::float8 AS transformation_intensity, s.subjective_experience, s.ai_interpretation,
       s.integration_notes, s.effectiveness_rating, s.module_hash, s.fuel, s.participants, s.group_id, s.space_id,
       s.created_at, s.ended_at, s.result, pre.state_data AS pre_state, post.state_data AS post_state
FROM ritual_sessions s
    LEFT JOIN sacred_rituals r ON r.id = s.ritual_id
    LEFT JOIN archetypal_states pre ON pre.id = s.pre_state_id
    LEFT JOIN archetypal_states post ON post.id = s.post_state_id
WHERE s.practitioner_id = $1::uuid AND s.id = $2::uuid
