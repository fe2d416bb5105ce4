-- Sessions in which somebody listens. A row is the session as its entity has it; position_s and anchor_at are its timeline: it is
-- at position_s, or since anchor_at running from there. owner_id has no foreign key: a guest's is no account, and what is left of
-- an account that is gone is found by it (queries/gone).
CREATE TABLE audio_sessions (
    id                 uuid             PRIMARY KEY,
    owner_id           uuid             NOT NULL,
    space_id           uuid,            -- whose participants may listen
    name               text             NOT NULL DEFAULT '',
    intention          text             NOT NULL DEFAULT '',
    status             varchar(20)      NOT NULL DEFAULT 'created',
    duration           integer          NOT NULL,
    audio_type         varchar(20)      NOT NULL,
    frequencies        jsonb            NOT NULL,
    prayer_bowl_mode   boolean          NOT NULL DEFAULT true,
    metadata           jsonb            NOT NULL DEFAULT '{}',
    volume             double precision NOT NULL,
    astrology_enabled  boolean          NOT NULL DEFAULT false,
    hardware_enabled   boolean          NOT NULL DEFAULT false,
    visuals_enabled    boolean          NOT NULL DEFAULT false,
    device             text,
    published          boolean          NOT NULL DEFAULT false, -- made by the published client's request
    position_s         double precision NOT NULL DEFAULT 0,
    anchor_at          timestamptz,
    recipe             jsonb            NOT NULL,
    notes              jsonb            NOT NULL DEFAULT '[]',
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz,
    started_at         timestamptz,
    stopped_at         timestamptz,
    expires_at         timestamptz       -- of a guest's: when the guest's session ends, and it goes
);
CREATE INDEX audio_sessions_owner ON audio_sessions (owner_id, created_at DESC, id DESC);
CREATE INDEX audio_sessions_space ON audio_sessions (space_id, created_at DESC, id DESC) WHERE space_id IS NOT NULL;
