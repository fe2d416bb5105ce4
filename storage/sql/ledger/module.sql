SELECT wasm_module_data FROM sacred_rituals WHERE id = $1
