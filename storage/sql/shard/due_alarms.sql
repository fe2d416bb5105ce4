-- Alarms that are due, the longest overdue first, in slots [from, to).
SELECT entity_id, name FROM alarms a
WHERE kind = $1 AND due_at <= clock_timestamp()
    AND EXISTS (SELECT FROM unnest($2::integer[], $3::integer[]) r (a, b) WHERE a.slot >= r.a AND a.slot < r.b)
ORDER BY due_at LIMIT $4
