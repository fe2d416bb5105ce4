-- The lake of Eustress scenes. What a scene was at any moment is kept as versions of its rows: each says from which version of
-- the space it holds (since) and in which it no longer does (until; the greatest bigint while it holds). A version of a space is
-- the seq of the event that made it. A snapshot is a marker at a version, so a thousand of them cost a thousand small rows; the
-- seed's own tables are views over both. Ids of spaces and entities are the engine's own text, compared byte by byte.
--
-- Rows are begun by COPY, ended by an UPDATE of until and ended_at, and removed by retention; all by the space's own entity.

-- A space as a whole, kept true with every commit that changes it.
CREATE TABLE eustress_spaces (
    id               text COLLATE "C" PRIMARY KEY, -- the space's name
    created_at       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    version          bigint      NOT NULL,
    entity_count     integer     NOT NULL DEFAULT 0,
    connection_count integer     NOT NULL DEFAULT 0,
    sacred_count     integer     NOT NULL DEFAULT 0,
    hierarchy_depth  integer     NOT NULL DEFAULT 0,
    scene_bytes      bigint      NOT NULL DEFAULT 0, -- of the live scene, as JSON
    entities_seen    bigint      NOT NULL DEFAULT 0, -- distinct ids, ever
    changes          bigint      NOT NULL DEFAULT 0, -- items taken in, ever
    unresolved       integer     NOT NULL DEFAULT 0, -- connections that wait for an end, or for their place in the tree
    snapshots        bigint      NOT NULL DEFAULT 0,
    last_snapshot    timestamptz,
    policy           jsonb       NOT NULL,
    horizon          timestamptz                     -- retention removed what ended before
);

-- data NULL: from since on the entity was not there. trains NULL: nobody said, so the space's policy decides.
CREATE TABLE eustress_entity_versions (
    space_name    text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    since         bigint           NOT NULL,
    until         bigint           NOT NULL DEFAULT 9223372036854775807,
    at            timestamptz      NOT NULL,
    ended_at      timestamptz,
    flux_position smallint,
    x             double precision,
    y             double precision,
    z             double precision,
    parent_id     text COLLATE "C",
    depth         integer,
    trains        boolean,
    data          jsonb
) PARTITION BY HASH (space_name);

-- strength NULL: from since on the connection was not there. made: the version that made it, which orders those that want the
-- same place in the tree; in_tree: it is the one that makes its source the parent of its target.
CREATE TABLE eustress_connection_versions (
    space_name      text COLLATE "C" NOT NULL,
    source_id       text COLLATE "C" NOT NULL,
    target_id       text COLLATE "C" NOT NULL,
    connection_type text COLLATE "C" NOT NULL,
    since           bigint           NOT NULL,
    until           bigint           NOT NULL DEFAULT 9223372036854775807,
    at              timestamptz      NOT NULL,
    ended_at        timestamptz,
    made            bigint           NOT NULL,
    in_tree         boolean          NOT NULL,
    strength        double precision,
    label           text
) PARTITION BY HASH (space_name);

DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE eustress_entity_versions_%s PARTITION OF eustress_entity_versions'
                       ' FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
        EXECUTE format('CREATE TABLE eustress_connection_versions_%s PARTITION OF eustress_connection_versions'
                       ' FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
END $$;

-- One live version each; what live queries page by.
CREATE UNIQUE INDEX eustress_entities_live ON eustress_entity_versions (space_name, id)
    WHERE until = 9223372036854775807;
CREATE INDEX idx_entities_space_flux ON eustress_entity_versions (space_name, flux_position)
    WHERE until = 9223372036854775807;
CREATE INDEX idx_hierarchy_parent ON eustress_entity_versions (space_name, parent_id)
    WHERE until = 9223372036854775807 AND parent_id IS NOT NULL;
CREATE INDEX eustress_entities_depth ON eustress_entity_versions (space_name, depth)
    WHERE until = 9223372036854775807 AND depth > 0;
-- Where things are, on the plan. Of 1,000,000 entities in a space, a box with 60 of them: 0.3 ms, 166 ms without (two workers);
-- the 100 nearest: see entities_near_bound.sql. It costs a COPY of 100 rows some 0.3 ms of 1.8 and 500 bytes of WAL a row.
-- A btree on x costs as much and needs 72 ms; GiST is a half larger and no faster.
CREATE INDEX eustress_entities_position ON eustress_entity_versions USING spgist (point(x, z))
    WHERE until = 9223372036854775807 AND data IS NOT NULL;
CREATE INDEX eustress_entities_changed ON eustress_entity_versions (space_name, since);
CREATE INDEX eustress_entities_ended ON eustress_entity_versions (space_name, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX eustress_entities_gone ON eustress_entity_versions (space_name, at)
    WHERE until = 9223372036854775807 AND data IS NULL;
CREATE INDEX eustress_entities_time ON eustress_entity_versions USING brin (at);

CREATE UNIQUE INDEX eustress_connections_live
    ON eustress_connection_versions (space_name, source_id, target_id, connection_type)
    WHERE until = 9223372036854775807;
CREATE INDEX eustress_connections_changed ON eustress_connection_versions (space_name, since);
CREATE INDEX eustress_connections_ended ON eustress_connection_versions (space_name, ended_at)
    WHERE ended_at IS NOT NULL;
CREATE INDEX eustress_connections_gone ON eustress_connection_versions (space_name, at)
    WHERE until = 9223372036854775807 AND strength IS NULL;

CREATE TABLE eustress_markers (
    id         uuid             PRIMARY KEY,
    space_name text COLLATE "C" NOT NULL,
    version    bigint           NOT NULL,
    timestamp  timestamptz      NOT NULL,
    reason     text             NOT NULL, -- count, batch, alarm, manual
    metadata   jsonb            NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX idx_snapshots_space_time ON eustress_markers (space_name, timestamp DESC);
CREATE INDEX eustress_markers_version ON eustress_markers (space_name, version);
CREATE INDEX idx_snapshots_metadata ON eustress_markers USING gin (metadata);

CREATE TABLE eustress_epochs (
    id                uuid             PRIMARY KEY,
    space_name        text COLLATE "C" NOT NULL,
    snapshot_ids      jsonb            NOT NULL,
    start_time        timestamptz      NOT NULL,
    end_time          timestamptz      NOT NULL,
    sample_count      integer          NOT NULL,
    stats             jsonb            NOT NULL,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    consolidated_into uuid -- this one's snapshots are another's now
);
CREATE INDEX idx_epochs_space ON eustress_epochs (space_name, created_at DESC);

-- What retention wrote to files before it removed it.
CREATE TABLE eustress_archives (
    id           uuid             PRIMARY KEY,
    space_name   text COLLATE "C" NOT NULL,
    from_version bigint           NOT NULL,
    to_version   bigint           NOT NULL,
    from_time    timestamptz,
    to_time      timestamptz      NOT NULL,
    files        jsonb            NOT NULL, -- [{name, rows, bytes, sha256}]
    created_at   timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX eustress_archives_space ON eustress_archives (space_name, to_time DESC);

-- The seed's tables.
CREATE VIEW eustress_entities AS
SELECT v.id, v.space_name, m.id AS snapshot_id, v.data AS entity_data, v.flux_position::integer AS flux_position,
       ARRAY[v.x, v.y, v.z]::real[] AS position, m.timestamp
FROM eustress_markers m
JOIN eustress_entity_versions v ON v.space_name = m.space_name AND v.since <= m.version AND v.until > m.version
WHERE v.data IS NOT NULL;

CREATE VIEW eustress_hierarchy AS
SELECT v.space_name, m.id AS snapshot_id, v.id AS entity_id, v.parent_id, v.depth, m.timestamp
FROM eustress_markers m
JOIN eustress_entity_versions v ON v.space_name = m.space_name AND v.since <= m.version AND v.until > m.version
WHERE v.data IS NOT NULL;

CREATE VIEW eustress_snapshots AS
SELECT m.id, m.space_name, m.timestamp,
    (SELECT coalesce(jsonb_agg(v.data ORDER BY v.id), '[]') FROM eustress_entity_versions v
     WHERE v.space_name = m.space_name AND v.since <= m.version AND v.until > m.version AND v.data IS NOT NULL) AS entities,
    (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'source_id', c.source_id, 'target_id', c.target_id, 'connection_type', c.connection_type,
                'strength', c.strength, 'label', c.label)) ORDER BY c.source_id, c.target_id, c.connection_type), '[]')
     FROM eustress_connection_versions c
     WHERE c.space_name = m.space_name AND c.since <= m.version AND c.until > m.version AND c.strength IS NOT NULL)
        AS connections,
    (SELECT jsonb_build_object(
                'roots', coalesce(jsonb_agg(v.id ORDER BY v.id) FILTER (WHERE v.parent_id IS NULL), '[]'),
                'parent_map', coalesce(jsonb_object_agg(v.id, v.parent_id) FILTER (WHERE v.parent_id IS NOT NULL), '{}'),
                'children_map', coalesce((
                    SELECT jsonb_object_agg(p.parent_id, p.children) FROM (
                        SELECT w.parent_id, jsonb_agg(w.id ORDER BY w.id) AS children FROM eustress_entity_versions w
                        WHERE w.space_name = m.space_name AND w.since <= m.version AND w.until > m.version
                            AND w.data IS NOT NULL AND w.parent_id IS NOT NULL
                        GROUP BY w.parent_id) p), '{}'),
                'depth_map', coalesce(jsonb_object_agg(v.id, v.depth), '{}'))
     FROM eustress_entity_versions v
     WHERE v.space_name = m.space_name AND v.since <= m.version AND v.until > m.version AND v.data IS NOT NULL) AS hierarchy,
    (SELECT coalesce(jsonb_object_agg(v.id, v.data -> 'parameters'), '{}') FROM eustress_entity_versions v
     WHERE v.space_name = m.space_name AND v.since <= m.version AND v.until > m.version AND v.data IS NOT NULL) AS parameters,
    m.metadata, m.created_at
FROM eustress_markers m;

-- A login of a program: what it may use. NULL is a person's.
ALTER TABLE auth_sessions ADD COLUMN service text, ADD COLUMN name text;
