-- Only checkpoints that are still what they were. One that a commit holds is passed over: whoever waits for a row while it
-- holds others could wait for ever.
WITH mine AS MATERIALIZED (
    SELECT k.kind, k.entity_id FROM checkpoints k
    WHERE (k.kind, k.entity_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE checkpoints k SET data = u.new_data
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[]) u (kind, entity_id, seq, data, new_data)
    JOIN mine ON mine.kind = u.kind AND mine.entity_id = u.entity_id
WHERE k.kind = u.kind AND k.entity_id = u.entity_id AND k.seq = u.seq AND k.data = u.data
