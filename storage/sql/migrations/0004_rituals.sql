-- The tables of rituals, states and the oracle: the seed's names and columns, TIMESTAMP as timestamptz, additions marked.
--
-- Foreign keys between rows that one entity writes are kept, deferred: a commit writes its tables in the order of their
-- names. Those into another entity's table are dropped, because its commits are independent of ours: sacred_rituals.author_id
-- (a practitioner), ritual_sessions.ritual_id (a ritual), and oracle_insights.space_id never had one.

ALTER TABLE practitioners ADD COLUMN oracle_consent boolean NOT NULL DEFAULT false; -- may the state go to a model outside

-- It may be sealed now, as a string: a text that somebody shared is wrapped (see storage/rows.py).
UPDATE collective_spaces
SET shared_state = to_jsonb(replace(encode('\x00'::bytea || convert_to(shared_state::text, 'UTF8'), 'base64'), E'\n', ''))
WHERE jsonb_typeof(shared_state) = 'string';

-- Insert only. A version is a link of the practitioner's chain: state_hash = sha256(prev_hash's bytes || RFC 8785 of state_data).
CREATE TABLE archetypal_states (
    id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    practitioner_id uuid        NOT NULL REFERENCES practitioners (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    state_data      jsonb       NOT NULL, -- this and the next five: a JSON string with the envelope where sealed
    archetypes      jsonb       NOT NULL,
    energies        jsonb       NOT NULL,
    integrations    jsonb       DEFAULT '[]',
    symbols         jsonb       DEFAULT '[]',
    transformations jsonb       DEFAULT '[]',
    state_hash      varchar(64),
    created_at      timestamptz DEFAULT now(),
    version         integer     NOT NULL, -- added: 1, 2, 3, … of each practitioner
    prev_hash       varchar(64),          -- added: NULL before version 1
    origin          varchar(40),          -- added: put, a transformation_type, ritual, baseline
    session_id      uuid                  -- added: of the run that led to it
);
CREATE UNIQUE INDEX archetypal_states_versions ON archetypal_states (practitioner_id, version DESC);

CREATE TABLE sacred_rituals (
    id                   uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name                 varchar(255) NOT NULL,
    description          text         NOT NULL,
    intent               text         NOT NULL,
    tradition            varchar(100),
    difficulty_level     varchar(20)  DEFAULT 'beginner',
    required_archetypes  jsonb        DEFAULT '[]',
    energy_requirements  jsonb        DEFAULT '{}',
    wasm_module_data     bytea,
    wasm_module_hash     varchar(64),
    module_language      varchar(50),
    author_id            uuid,
    usage_count          integer      DEFAULT 0,
    effectiveness_rating decimal(4,2) DEFAULT 0.0, -- the seed's decimal(3,2) cannot hold a 10
    is_public            boolean      DEFAULT false,
    created_at           timestamptz  DEFAULT now(),
    abi                  varchar(20),                -- added, as all that follow
    rating_count         integer      DEFAULT 0,
    builtin              boolean      DEFAULT false,
    withdrawn_at         timestamptz,
    updated_at           timestamptz  DEFAULT now(),
    module_bytes         integer
) WITH (fillfactor = 80); -- each completed run counts in place, as long as no index has the count
ALTER TABLE sacred_rituals ALTER COLUMN wasm_module_data SET STORAGE EXTERNAL; -- read whole, and seldom: not worth compressing
CREATE INDEX sacred_rituals_newest ON sacred_rituals (created_at DESC, id DESC) WHERE withdrawn_at IS NULL;
CREATE INDEX sacred_rituals_name ON sacred_rituals (name) WHERE withdrawn_at IS NULL;
CREATE INDEX sacred_rituals_author ON sacred_rituals (author_id, created_at DESC) WHERE withdrawn_at IS NULL;

CREATE TABLE ritual_sessions (
    id                       uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    practitioner_id          uuid        NOT NULL REFERENCES practitioners (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ritual_id                uuid        NOT NULL,
    pre_state_id             uuid        REFERENCES archetypal_states (id) DEFERRABLE INITIALLY DEFERRED, -- NULL: the empty state
    post_state_id            uuid        REFERENCES archetypal_states (id) DEFERRABLE INITIALLY DEFERRED,
    execution_duration_ms    integer,
    transformation_intensity decimal(3,2), -- rounded and clamped; result has it as computed
    subjective_experience    text,         -- this and the next two: "sealed:" and the envelope where sealed
    ai_interpretation        text,
    integration_notes        text,
    effectiveness_rating     integer     CHECK (effectiveness_rating BETWEEN 1 AND 10),
    created_at               timestamptz DEFAULT now(),
    status                   varchar(20) NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed')), -- added,
    error_code               varchar(40),                                                                -- as all that follow
    error_message            text,        -- sealed
    intention                text,        -- sealed
    parameters               jsonb,       -- sealed
    participants             integer,     -- of a group ritual; a ritual may look at it, so a replay has to know
    module_hash              varchar(64),
    fuel                     bigint,
    result                   jsonb,       -- the whole answer; sealed
    group_id                 uuid,
    space_id                 uuid,
    ended_at                 timestamptz
);
CREATE INDEX ritual_sessions_newest ON ritual_sessions (practitioner_id, created_at DESC, id DESC);
-- What the deletion of states looks up by the foreign keys.
CREATE INDEX ritual_sessions_pre_state ON ritual_sessions (pre_state_id);
CREATE INDEX ritual_sessions_post_state ON ritual_sessions (post_state_id);
CREATE INDEX ritual_sessions_ritual ON ritual_sessions (ritual_id, practitioner_id, created_at DESC, id DESC);

CREATE TABLE oracle_insights (
    id                      uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id              uuid        REFERENCES ritual_sessions (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    insight_type            varchar(50),
    archetypal_analysis     jsonb,        -- sealed, as the next two
    integration_suggestions jsonb,
    symbolic_emergence      jsonb,
    oracle_model            varchar(100),
    confidence_score        decimal(3,2), -- NULL: the model gives nothing to derive one from
    created_at              timestamptz DEFAULT now(),
    practitioner_id         uuid        REFERENCES practitioners (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, -- added,
    space_id                uuid,         -- as all that follow; a group's insight has a space and no practitioner
    interpretation          text,         -- sealed, as the next two
    cautions                jsonb,
    next_rituals            jsonb,
    notice                  text
);
CREATE INDEX oracle_insights_session ON oracle_insights (session_id, created_at DESC, id DESC) WHERE session_id IS NOT NULL;
CREATE INDEX oracle_insights_practitioner ON oracle_insights (practitioner_id, created_at DESC, id DESC)
    WHERE practitioner_id IS NOT NULL;
