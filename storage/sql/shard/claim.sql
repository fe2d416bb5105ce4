-- Claim a name for $5 seconds: where it is free, expired without confirmation, or ours already (which never shortens it).
INSERT INTO claims (scope, name, entity_id, operation_id, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
ON CONFLICT (scope, name) DO UPDATE
    SET entity_id = excluded.entity_id, operation_id = excluded.operation_id,
        expires_at = CASE WHEN claims.entity_id = excluded.entity_id
                          THEN CASE WHEN claims.expires_at IS NULL THEN NULL
                                    ELSE greatest(claims.expires_at, excluded.expires_at) END
                          ELSE excluded.expires_at END
    WHERE claims.entity_id = excluded.entity_id OR claims.expires_at < clock_timestamp()
RETURNING true
