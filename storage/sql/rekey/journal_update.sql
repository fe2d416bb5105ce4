-- Only payloads that are still what they were.
UPDATE journal j SET data = u.new_data, reply = u.new_reply
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
    u (kind, entity_id, seq, data, reply, new_data, new_reply)
WHERE j.kind = u.kind AND j.entity_id = u.entity_id AND j.seq = u.seq
    AND j.data = u.data AND j.reply IS NOT DISTINCT FROM u.reply
