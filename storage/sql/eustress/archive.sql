-- The archive $2 of space $1.
SELECT id::text, space_name, from_version, to_version, from_time, to_time, files::text AS files, created_at
FROM eustress_archives WHERE space_name = $1 AND id = $2::uuid
