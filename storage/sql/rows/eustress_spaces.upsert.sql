-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO eustress_spaces AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM eustress_spaces old WHERE old.id = row.value ->> 'id'),
        jsonb_populate_record(NULL::eustress_spaces, jsonb_build_object(
            'entity_count', 0, 'connection_count', 0, 'sacred_count', 0, 'hierarchy_depth', 0, 'scene_bytes', 0,
            'entities_seen', 0, 'changes', 0, 'unresolved', 0, 'snapshots', 0))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    created_at = excluded.created_at, changed_at = excluded.changed_at, version = excluded.version,
    entity_count = excluded.entity_count, connection_count = excluded.connection_count,
    sacred_count = excluded.sacred_count, hierarchy_depth = excluded.hierarchy_depth, scene_bytes = excluded.scene_bytes,
    entities_seen = excluded.entities_seen, changes = excluded.changes, unresolved = excluded.unresolved,
    snapshots = excluded.snapshots, last_snapshot = excluded.last_snapshot, policy = excluded.policy,
    horizon = excluded.horizon
