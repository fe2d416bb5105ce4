UPDATE cluster_owner SET beat_at = NULL WHERE incarnation = $1
