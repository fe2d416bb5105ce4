-- How many rows archive_snapshots.sql, archive_entities.sql and archive_connections.sql find, with the same parameters.
SELECT
    (SELECT count(*) FROM eustress_markers m
     WHERE m.space_name = $1 AND m.timestamp < $2 AND m.timestamp >= coalesce($3, '-infinity'::timestamptz)
        AND m.id::text NOT IN (
            SELECT jsonb_array_elements_text(e.snapshot_ids) FROM eustress_epochs e WHERE e.space_name = $1)) AS markers,
    (SELECT count(*) FROM eustress_entity_versions v
     WHERE v.space_name = $1 AND (
        v.ended_at < $2 AND v.ended_at >= coalesce($3, '-infinity'::timestamptz) AND (
            v.data IS NULL OR (($4::bigint[])[width_bucket(v.since - 1, $4::bigint[]) + 1] < v.until) IS NOT TRUE)
        OR v.until = 9223372036854775807 AND v.data IS NULL AND v.at < $2
            AND (v.trains IS FALSE AND ($4::bigint[])[1] < v.since) IS NOT TRUE)) AS entities,
    (SELECT count(*) FROM eustress_connection_versions c
     WHERE c.space_name = $1 AND (
        c.ended_at < $2 AND c.ended_at >= coalesce($3, '-infinity'::timestamptz) AND (
            c.strength IS NULL OR (($4::bigint[])[width_bucket(c.since - 1, $4::bigint[]) + 1] < c.until) IS NOT TRUE)
        OR c.until = 9223372036854775807 AND c.strength IS NULL AND c.at < $2)) AS connections
