SELECT seq, format, data FROM checkpoints WHERE kind = 'practitioner' AND entity_id = $1
