-- A new owner, where the last one has let go or not been heard of for $1 seconds.
UPDATE cluster_owner SET incarnation = incarnation + 1, beat_at = clock_timestamp()
WHERE beat_at IS NULL OR beat_at < clock_timestamp() - make_interval(secs => $1)
RETURNING cluster_id, incarnation
