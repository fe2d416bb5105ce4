-- Entities of these kinds with an alarm that is due by the database's clock, oldest first.
SELECT kind, entity_id FROM alarms
WHERE kind = ANY($1) AND due_at <= clock_timestamp()
GROUP BY kind, entity_id
ORDER BY min(due_at)
LIMIT $2
