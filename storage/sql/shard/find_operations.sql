-- Operations ($4) among the last $3 events; the smallest request id there of each session ($5); whether the first event
-- is among them (or there never was one). Three kinds of rows, told apart by what.
WITH recent AS MATERIALIZED (
    SELECT seq, operation_id, request_digest, reply FROM journal
    WHERE kind = $1 AND entity_id = $2 ORDER BY seq DESC LIMIT $3
), request AS (
    SELECT split_part(operation_id, ':', 1) AS session, split_part(operation_id, ':', 2)::numeric AS n
    FROM recent WHERE operation_id ~ '^[^:]+:[0-9]{1,18}$'
)
SELECT 'operation' AS what, operation_id AS key, seq AS n, request_digest, reply
FROM recent WHERE operation_id = ANY ($4::text[])
UNION ALL
SELECT 'oldest', session, min(n)::bigint, NULL, NULL FROM request WHERE session = ANY ($5::text[]) GROUP BY session
UNION ALL
SELECT 'whole', NULL, 1, NULL, NULL
WHERE coalesce(
    (SELECT min(seq) = 1 FROM recent),
    NOT EXISTS (SELECT FROM checkpoints WHERE kind = $1 AND entity_id = $2 AND seq > 0)
)
