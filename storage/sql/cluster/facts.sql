-- What an operator wants to know of the server. The pid is the postmaster's where this role may read its file.
SELECT current_setting('server_version') AS version,
       (SELECT max(version) FROM schema_migrations) AS schema,
       CASE WHEN has_function_privilege('pg_read_file(text)', 'EXECUTE')
            THEN split_part(pg_read_file('postmaster.pid'), E'\n', 1)::integer END AS pid
