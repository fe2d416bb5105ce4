-- Rows of {table} after $1 with what of the columns $2 is not under the newest key ($3: how its envelopes begin in base64).
SELECT t.id, part.kept
FROM {table} t, LATERAL (
    SELECT jsonb_object_agg(key, value) AS kept
    FROM jsonb_each(to_jsonb(t))
    WHERE key = ANY ($2::text[]) AND value <> 'null'
        AND NOT starts_with(value #>> '{}', $3) AND NOT starts_with(value #>> '{}', 'sealed:' || $3)
) part
WHERE t.id > $1 AND part.kept IS NOT NULL
ORDER BY t.id
LIMIT $4
