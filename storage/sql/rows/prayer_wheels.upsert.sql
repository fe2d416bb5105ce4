-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
INSERT INTO prayer_wheels AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    coalesce(
        (SELECT old FROM prayer_wheels old WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_populate_record(NULL::prayer_wheels, jsonb_build_object('rotations', 0, 'updated_at', now()))),
    row.value) new
ON CONFLICT (id) DO UPDATE SET
    rotations = excluded.rotations, created_at = excluded.created_at, updated_at = excluded.updated_at,
    spinning = excluded.spinning, rate_mrpm = excluded.rate_mrpm, spin_began_at = excluded.spin_began_at,
    spin_ends_at = excluded.spin_ends_at, spin_angle = excluded.spin_angle
