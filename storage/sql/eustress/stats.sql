-- The lake as a whole. Its size is that of every relation that it lies in, with indexes and what is stored out of line.
SELECT (SELECT count(*) FROM eustress_markers) AS total_snapshots,
       count(*) AS total_spaces,
       coalesce(sum(s.entities_seen), 0)::bigint AS total_entities_seen,
       (SELECT count(*) FROM eustress_epochs WHERE consolidated_into IS NULL) AS total_epochs,
       (SELECT sum(pg_total_relation_size(coalesce(p.relid, t.relid)))::bigint
        FROM unnest('{eustress_entity_versions, eustress_connection_versions, eustress_spaces, eustress_markers,
                      eustress_epochs, eustress_archives}'::regclass[]) AS t(relid)
        LEFT JOIN LATERAL pg_partition_tree(t.relid) AS p ON true) AS storage_size_bytes,
       max(s.last_snapshot) AS last_snapshot
FROM eustress_spaces s
