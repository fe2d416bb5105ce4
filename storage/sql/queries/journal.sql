-- Events of an entity after $3, in order, with whether each is sealed.
SELECT seq, at, event_type, format, data, stream_offset FROM journal
WHERE kind = $1 AND entity_id = $2 AND seq > $3 ORDER BY seq LIMIT $4
