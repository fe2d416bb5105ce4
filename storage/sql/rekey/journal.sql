-- Events after ($1, $2, $3) with a payload that is not under the newest key ($5: how its envelopes begin), and which is
-- sealed, or plain though the kind is a sealed one ($4).
SELECT kind, entity_id, seq, data, reply
FROM journal
WHERE (kind, entity_id, seq) > ($1, $2, $3)
    AND (substring(data FROM 1 FOR 9) <> $5 AND (kind = ANY ($4::text[]) OR substring(data FROM 1 FOR 1) = '\x01')
         OR substring(reply FROM 1 FOR 9) <> $5 AND (kind = ANY ($4::text[]) OR substring(reply FROM 1 FOR 1) = '\x01'))
ORDER BY kind, entity_id, seq
LIMIT $6
