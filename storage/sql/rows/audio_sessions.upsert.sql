-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO audio_sessions AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM audio_sessions old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(
            NULL::audio_sessions,
            jsonb_build_object('name', '', 'intention', '', 'status', 'created', 'prayer_bowl_mode', true,
                               'metadata', '{}'::jsonb, 'astrology_enabled', false, 'hardware_enabled', false,
                               'visuals_enabled', false, 'published', false, 'position_s', 0, 'notes', '[]'::jsonb,
                               'created_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    owner_id = excluded.owner_id, space_id = excluded.space_id, name = excluded.name, intention = excluded.intention,
    status = excluded.status, duration = excluded.duration, audio_type = excluded.audio_type,
    frequencies = excluded.frequencies, prayer_bowl_mode = excluded.prayer_bowl_mode, metadata = excluded.metadata,
    volume = excluded.volume, astrology_enabled = excluded.astrology_enabled,
    hardware_enabled = excluded.hardware_enabled, visuals_enabled = excluded.visuals_enabled, device = excluded.device,
    published = excluded.published, position_s = excluded.position_s, anchor_at = excluded.anchor_at,
    recipe = excluded.recipe, notes = excluded.notes, created_at = excluded.created_at,
    updated_at = excluded.updated_at, started_at = excluded.started_at, stopped_at = excluded.stopped_at,
    expires_at = excluded.expires_at, device_error = excluded.device_error
