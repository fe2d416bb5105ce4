-- Prayer wheels, and what was turned with one mantra until its merit was dedicated: lists read them, the entity prayer_wheel alone
-- writes them. A wheel's id is its practitioner's; no foreign key, because it is another entity's row. While a wheel spins its
-- count follows from the time: nothing here changes, and a reader adds what the spin has turned.
CREATE TABLE prayer_wheels (
    id            uuid        PRIMARY KEY,
    rotations     bigint      NOT NULL DEFAULT 0, -- of all mantras, without what the spin has turned
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    spinning      uuid,        -- the accumulation that it counts into; this and the next four are NULL while it stands
    rate_mrpm     integer,     -- thousandths of a rotation a minute
    spin_began_at timestamptz,
    spin_ends_at  timestamptz, -- NULL: until it is stopped
    spin_angle    bigint       -- at which it began (actors.prayer.spin)
);

CREATE TABLE prayer_accumulations (
    id              uuid        PRIMARY KEY,
    practitioner_id uuid        NOT NULL REFERENCES prayer_wheels (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    mantra          text        NOT NULL,            -- this, the intention and the dedication: an envelope where sealed
    intention       text        NOT NULL DEFAULT '',
    rotations       bigint      NOT NULL DEFAULT 0,
    began_at        timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    dedicated_at    timestamptz,
    dedication      text,
    dedication_id   varchar(60) -- which text of the collection
);
CREATE INDEX prayer_accumulations_newest ON prayer_accumulations (practitioner_id, began_at DESC, id DESC);
