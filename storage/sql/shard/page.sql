-- Numbered events with offset > $3, at most $4, until $5 bytes of data are reached; at least one. offset <= seq, so the
-- primary key bounds the scan.
SELECT entity_id, seq, at, event_type, format, data, operation_id, request_digest, reply, stream_offset
FROM (
    SELECT p.*, sum(octet_length(p.data)) OVER (ORDER BY p.seq) - octet_length(p.data) AS bytes_before
    FROM (
        SELECT * FROM journal
        WHERE kind = $1 AND entity_id = $2 AND seq > $3 AND stream_offset > $3
        ORDER BY seq LIMIT $4
    ) p
) q
WHERE bytes_before < $5 OR bytes_before = 0
ORDER BY seq
