-- Entities of these kinds with any alarm, due or not; oldest first.
SELECT kind, entity_id FROM alarms
WHERE kind = ANY($1)
GROUP BY kind, entity_id
ORDER BY min(due_at)
LIMIT $2
