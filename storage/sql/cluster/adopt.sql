-- The owner as it is: for a serve that joins actors which outlived the last one.
UPDATE cluster_owner SET beat_at = clock_timestamp() RETURNING cluster_id, incarnation
