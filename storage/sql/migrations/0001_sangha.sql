-- Sangha's own tables. entity_id is text: some kinds' ids are a client's own text, not a UUID.

CREATE TABLE journal (
    kind           text        NOT NULL,
    entity_id      text        NOT NULL,
    seq            bigint      NOT NULL,
    at             timestamptz NOT NULL,
    event_type     text        NOT NULL,
    format         integer     NOT NULL,
    data           bytea       NOT NULL, -- JSON, or the sealed envelope of it
    operation_id   text,                 -- with the next two on the first event of a command
    request_digest bytea,
    reply          bytea,
    stream_offset  bigint,               -- of the numbered push; offset <= seq, because an event makes at most one
    PRIMARY KEY (kind, entity_id, seq)
);

CREATE TABLE checkpoints (
    kind          text        NOT NULL,
    entity_id     text        NOT NULL,
    seq           bigint      NOT NULL,
    stream_offset bigint      NOT NULL,
    at            timestamptz NOT NULL,
    format        integer     NOT NULL,
    data          bytea       NOT NULL,
    sessions      jsonb       NOT NULL DEFAULT '{}', -- session -> [highest request id that changed the entity, epoch seconds]
    PRIMARY KEY (kind, entity_id)
);

-- One row for ever; beat_at NULL means that nobody owns the cluster.
CREATE TABLE cluster_owner (
    one_row     boolean     PRIMARY KEY DEFAULT true CHECK (one_row),
    cluster_id  uuid        NOT NULL DEFAULT gen_random_uuid(),
    incarnation bigint      NOT NULL DEFAULT 0,
    beat_at     timestamptz,
    layouts     jsonb       NOT NULL DEFAULT '{}' -- kind -> layout as last put in force
);
INSERT INTO cluster_owner DEFAULT VALUES;

-- owner is the one Store instance that holds the lease: it lets a settle whose own answer was lost be repeated.
CREATE TABLE shard_leases (
    kind          text        NOT NULL,
    layout        text        NOT NULL,
    shard         text        NOT NULL, -- an index in a shared layout, the entity's id in an own one
    epoch         bigint      NOT NULL,
    incarnation   bigint      NOT NULL,
    owner         uuid,
    backend_pid   integer,
    backend_start timestamptz,
    PRIMARY KEY (kind, layout, shard)
) WITH (fillfactor = 50); -- each commit locks its row in place; room for the versions that this makes

-- expires_at NULL is a confirmed claim.
CREATE TABLE claims (
    scope        text NOT NULL,
    name         text NOT NULL,
    entity_id    text NOT NULL,
    operation_id text,
    expires_at   timestamptz,
    PRIMARY KEY (scope, name)
);

CREATE TABLE alarms (
    kind      text        NOT NULL,
    entity_id text        NOT NULL,
    name      text        NOT NULL,
    slot      integer     NOT NULL CHECK (slot BETWEEN 0 AND 4095), -- actors.runtime.layout.slot_of(entity_id)
    due_at    timestamptz NOT NULL,
    PRIMARY KEY (kind, entity_id, name)
);
CREATE INDEX alarms_by_slot ON alarms (kind, slot, due_at);
-- What a shard with many slots polls by: it reads only what is due, or the one that is next.
CREATE INDEX alarms_by_time ON alarms (kind, due_at, slot);

-- practitioner_id has no foreign key: practitioners' rows are written by another entity's commits.
CREATE TABLE auth_sessions (
    id              uuid        PRIMARY KEY,
    practitioner_id uuid        NOT NULL,
    token_hash      bytea       NOT NULL UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz
);
CREATE INDEX auth_sessions_by_practitioner ON auth_sessions (practitioner_id);
