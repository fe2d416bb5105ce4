-- Snapshots of space $1 between the times $2 and $3, oldest first, at most $4.
SELECT id::text, version FROM eustress_markers
WHERE space_name = $1 AND timestamp BETWEEN $2 AND $3
ORDER BY version, timestamp, id
LIMIT $4
