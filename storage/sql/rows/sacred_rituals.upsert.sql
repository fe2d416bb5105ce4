-- Rows as they are now. A column that a row does not name keeps its value (a new row: its default).
-- The old row's module is not read: a row value (SELECT old …) would fetch its 4 MiB and the update would write them again,
-- for every count of a use. It stays where it is because the update gives back the very reference.
INSERT INTO sacred_rituals AS t
SELECT new.*
FROM jsonb_array_elements($1::jsonb) row, jsonb_populate_record(
    NULL::sacred_rituals,
    coalesce(
        (SELECT to_jsonb(old) FROM (
            SELECT id, name, description, intent, tradition, difficulty_level, required_archetypes, energy_requirements,
                   wasm_module_hash, module_language, author_id, usage_count, effectiveness_rating, is_public, created_at,
                   abi, rating_count, builtin, withdrawn_at, updated_at, module_bytes
            FROM sacred_rituals) old
         WHERE old.id = (row.value ->> 'id')::uuid),
        jsonb_build_object(
            'difficulty_level', 'beginner', 'required_archetypes', '[]'::jsonb, 'energy_requirements', '{}'::jsonb,
            'usage_count', 0, 'effectiveness_rating', 0, 'is_public', false, 'created_at', now(), 'rating_count', 0,
            'builtin', false, 'updated_at', now())
    ) || row.value) new
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, description = excluded.description, intent = excluded.intent, tradition = excluded.tradition,
    difficulty_level = excluded.difficulty_level, required_archetypes = excluded.required_archetypes,
    energy_requirements = excluded.energy_requirements,
    wasm_module_data = coalesce(excluded.wasm_module_data, t.wasm_module_data),
    wasm_module_hash = excluded.wasm_module_hash, module_language = excluded.module_language,
    author_id = excluded.author_id, usage_count = excluded.usage_count,
    effectiveness_rating = excluded.effectiveness_rating, is_public = excluded.is_public,
    created_at = excluded.created_at, abi = excluded.abi, rating_count = excluded.rating_count,
    builtin = excluded.builtin, withdrawn_at = excluded.withdrawn_at, updated_at = excluded.updated_at,
    module_bytes = excluded.module_bytes
