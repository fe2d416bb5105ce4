-- Operations among the last $3 events: those by a key ($4) and those of sessions, <session>:<n> ($5); the smallest n there of each
-- session ($6); whether the first event is among them (or there never was one). Three kinds of rows, told apart by what.
-- Keys are found by their index (the predicate has to be its very words). Only sessions need the events themselves to be read.
WITH ends AS MATERIALIZED (
    SELECT max(seq) - $3 AS before, min(seq) AS first FROM journal WHERE kind = $1 AND entity_id = $2
), recent AS MATERIALIZED (
    SELECT seq, operation_id, request_digest, reply FROM journal
    WHERE kind = $1 AND entity_id = $2 AND seq > (SELECT before FROM ends) AND cardinality($6::text[]) > 0
), request AS (
    SELECT split_part(operation_id, ':', 1) AS session, split_part(operation_id, ':', 2)::numeric AS n
    FROM recent WHERE operation_id ~ '^[^:]+:[0-9]{1,18}$'
)
SELECT 'operation' AS what, operation_id AS key, seq AS n, request_digest, reply
FROM journal
WHERE kind = $1 AND entity_id = $2 AND operation_id = ANY ($4::text[]) AND operation_id !~ '^[^:]+:[0-9]{1,18}$'
    AND seq > (SELECT before FROM ends)
UNION ALL
SELECT 'operation', operation_id, seq, request_digest, reply FROM recent WHERE operation_id = ANY ($5::text[])
UNION ALL
SELECT 'oldest', session, min(n)::bigint, NULL, NULL FROM request WHERE session = ANY ($6::text[]) GROUP BY session
UNION ALL
SELECT 'whole', NULL, 1, NULL, NULL FROM ends
WHERE coalesce(
    first = 1 AND before < 1,
    NOT EXISTS (SELECT FROM checkpoints WHERE kind = $1 AND entity_id = $2 AND seq > 0)
)
