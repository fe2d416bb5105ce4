-- Insights as they were given. Insert only, as archetypal_states.
INSERT INTO oracle_insights
SELECT * FROM jsonb_populate_recordset(
    jsonb_populate_record(NULL::oracle_insights, jsonb_build_object('created_at', now())), $1::jsonb)
