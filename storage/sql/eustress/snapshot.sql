-- The marker of snapshot $1.
SELECT id::text, space_name, version, timestamp, reason, metadata::text AS metadata FROM eustress_markers WHERE id = $1::uuid
