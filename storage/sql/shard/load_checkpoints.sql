-- The checkpoints of these entities ($2).
SELECT entity_id, seq, stream_offset, at, format, data, sessions FROM checkpoints WHERE kind = $1 AND entity_id = ANY ($2)
