-- All that $1 uploaded after the ritual $3, without the modules.
SELECT id, name, description, intent, tradition, difficulty_level, required_archetypes, energy_requirements, wasm_module_hash,
       module_language, usage_count, is_public, created_at, withdrawn_at, module_bytes
FROM sacred_rituals
WHERE author_id = $1::uuid AND ($3::uuid IS NULL OR id > $3)
ORDER BY id LIMIT $2
