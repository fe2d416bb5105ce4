-- The seeds' tables, names and columns as written there. TIMESTAMP became timestamptz: every time here is an instant.

CREATE TABLE practitioners (
    id                     uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    email                  varchar(255) UNIQUE NOT NULL,
    password_hash          varchar(255) NOT NULL,
    spiritual_name         varchar(100),
    archetypal_preferences jsonb        DEFAULT '{}', -- a JSON string with the envelope where sealed
    energy_alignments      jsonb        DEFAULT '{}', -- likewise
    privacy_level          varchar(20)  DEFAULT 'private',
    sacred_path            varchar(100),
    created_at             timestamptz  DEFAULT now(),
    updated_at             timestamptz  DEFAULT now() -- added
);

-- The seed's REFERENCES practitioners(id) on facilitator_id is dropped: that row belongs to another entity, whose commits
-- are independent of the space's, and a guest facilitates without a row.
CREATE TABLE collective_spaces (
    id                   uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name                 varchar(255) NOT NULL,
    purpose              text         NOT NULL,
    tradition            varchar(100),
    facilitator_id       uuid,
    participant_limit    integer      DEFAULT 12,
    current_participants integer      DEFAULT 0,
    shared_state         jsonb        DEFAULT '{}',
    ritual_schedule      jsonb,
    access_level         varchar(20)  DEFAULT 'invite',
    created_at           timestamptz  DEFAULT now(),
    slug                 text,        -- added
    closed_at            timestamptz, -- added
    updated_at           timestamptz  DEFAULT now() -- added
);
-- The claim is what makes a slug unique; this only makes sure of it. A closed space gives its slug back.
CREATE UNIQUE INDEX collective_spaces_slug ON collective_spaces (slug) WHERE closed_at IS NULL;
CREATE INDEX collective_spaces_newest ON collective_spaces (created_at DESC, id DESC) WHERE closed_at IS NULL;
CREATE INDEX collective_spaces_facilitator ON collective_spaces (facilitator_id) WHERE closed_at IS NULL;
