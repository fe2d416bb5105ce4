-- Messages of $2 in the space $1, among the $5 events after $3, at most $4. Of what is sealed all messages: only who has the key
-- can tell whose they are. A window, so that one statement never reads a whole large space to find nothing.
SELECT seq, at, event_type, format, data, stream_offset FROM journal
WHERE kind = 'space' AND entity_id = $1 AND seq > $3 AND seq <= $3::bigint + $5::bigint AND event_type = 'message'
    AND (get_byte(data, 0) <> 123 OR position(convert_to($2, 'UTF8') IN data) > 0) -- an open brace: not sealed
ORDER BY seq LIMIT $4
