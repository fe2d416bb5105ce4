-- The entity that a name belongs to for good.
SELECT entity_id FROM claims WHERE scope = $1 AND name = $2 AND expires_at IS NULL
