SELECT id, practitioner_id, status, error_code, fuel, result FROM ritual_sessions WHERE id = $1::uuid
