-- Only events that are still what they were.
UPDATE journal j SET data = u.new_data, format = $6
FROM unnest($3::bigint[], $4::bytea[], $5::bytea[]) u (seq, data, new_data)
WHERE j.kind = $1 AND j.entity_id = $2 AND j.seq = u.seq AND j.data = u.data
RETURNING j.seq
