-- Markers of space $1 between the times $2 and $3, oldest first: $5 of those from the snapshot $4 on, itself included.
SELECT id::text, space_name, version, timestamp, reason, metadata::text AS metadata
FROM eustress_markers
WHERE space_name = $1
    AND ($2::timestamptz IS NULL OR timestamp >= $2) AND ($3::timestamptz IS NULL OR timestamp <= $3)
    AND ($4::uuid IS NULL OR (timestamp, version, id) >= (
        SELECT b.timestamp, b.version, b.id FROM eustress_markers b WHERE b.id = $4 AND b.space_name = $1))
ORDER BY timestamp, version, id
LIMIT $5
