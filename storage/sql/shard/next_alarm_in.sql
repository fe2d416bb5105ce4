-- Seconds until the next alarm in slots [from, to) is due; negative where it already is.
SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM alarms a
WHERE kind = $1
    AND EXISTS (SELECT FROM unnest($2::integer[], $3::integer[]) r (a, b) WHERE a.slot >= r.a AND a.slot < r.b)
ORDER BY due_at LIMIT 1
