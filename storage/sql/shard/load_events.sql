-- The events of each entity ($2) after its own seq ($3), in order. The seqs come from the checkpoints already read, so
-- that a checkpoint written in between makes no gap.
SELECT j.entity_id, j.seq, j.at, j.event_type, j.format, j.data, j.operation_id, j.request_digest, j.reply, j.stream_offset
FROM unnest($2::text[], $3::bigint[]) e (id, after)
CROSS JOIN LATERAL (
    SELECT * FROM journal WHERE kind = $1 AND entity_id = e.id AND seq > e.after ORDER BY seq
) j
