-- Spaces by name: $3 of those after $2, or the one that $1 names.
SELECT id, created_at, changed_at, version, entity_count, connection_count, sacred_count, hierarchy_depth, scene_bytes,
       entities_seen, changes, unresolved, snapshots, last_snapshot, policy, horizon
FROM eustress_spaces
WHERE ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR id > $2)
ORDER BY id
LIMIT $3
