-- The newest profiles that are sealed: whether our keys open them tells whether they are this database's.
SELECT id, archetypal_preferences #>> '{}' AS envelope
FROM practitioners
WHERE jsonb_typeof(archetypal_preferences) = 'string'
ORDER BY updated_at DESC
LIMIT 20
