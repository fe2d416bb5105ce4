-- Archives of space $1, newest first.
SELECT id::text, space_name, from_version, to_version, from_time, to_time, files::text AS files, created_at
FROM eustress_archives WHERE space_name = $1
ORDER BY to_time DESC, id DESC
LIMIT $2
