-- At most $3 of an entity's events are deleted, the oldest first, and none above its checkpoint.
DELETE FROM journal j
USING checkpoints k
WHERE k.kind = $1 AND k.entity_id = $2 AND j.kind = $1 AND j.entity_id = $2 AND j.seq <= k.seq
    AND j.seq <= (SELECT max(seq) FROM (
        SELECT seq FROM journal WHERE kind = $1 AND entity_id = $2 ORDER BY seq LIMIT $3) oldest)
