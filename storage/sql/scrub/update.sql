-- Only events that are still what they were.
UPDATE journal j SET data = u.new_data, format = $5
FROM unnest($2::bigint[], $3::bytea[], $4::bytea[]) u (seq, data, new_data)
WHERE j.kind = 'space' AND j.entity_id = $1 AND j.seq = u.seq AND j.data = u.data
RETURNING j.seq
