-- Checkpoints after ($1, $2), as the events of journal.sql.
SELECT kind, entity_id, seq, data
FROM checkpoints
WHERE (kind, entity_id) > ($1, $2)
    AND substring(data FROM 1 FOR 9) <> $4 AND (kind = ANY ($3::text[]) OR substring(data FROM 1 FOR 1) = '\x01')
ORDER BY kind, entity_id
LIMIT $5
