-- What the oracle told $1 before the insight $3, newest first, about the run $4 only where it is given.
SELECT id, session_id, insight_type, interpretation, archetypal_analysis, integration_suggestions, symbolic_emergence,
       next_rituals, cautions, oracle_model, confidence_score::float8 AS confidence_score, notice, created_at
FROM oracle_insights
WHERE practitioner_id = $1::uuid
    AND ($4::uuid IS NULL OR session_id = $4)
    AND ($3::uuid IS NULL OR (created_at, id) < (SELECT c.created_at, c.id FROM oracle_insights c
                                                       WHERE c.id = $3::uuid AND c.practitioner_id = $1::uuid))
ORDER BY created_at DESC, id DESC
LIMIT $2
