UPDATE cluster_owner SET beat_at = clock_timestamp() WHERE incarnation = $1 RETURNING true
