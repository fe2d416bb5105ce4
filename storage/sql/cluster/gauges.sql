-- What metrics say of the server: all from memory, no table is read but the short list of migrations.
SELECT current_setting('server_version') AS version,
       (SELECT max(version) FROM schema_migrations) AS schema,
       numbackends AS connections,
       current_setting('max_connections')::integer AS connections_max,
       xact_commit AS committed,
       xact_rollback AS rolled_back,
       deadlocks
  FROM pg_stat_database
 WHERE datname = current_database()
