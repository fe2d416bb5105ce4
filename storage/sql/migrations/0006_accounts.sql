-- Accounts can be deleted. A login goes with its practitioner; whoever was in a space is known by a row, so that the space can
-- be told; what is still to be done about those who are gone can be found.

DELETE FROM auth_sessions a WHERE NOT EXISTS (SELECT FROM practitioners p WHERE p.id = a.practitioner_id);
-- Both rows are written by the practitioner.
ALTER TABLE auth_sessions ADD CONSTRAINT auth_sessions_practitioner FOREIGN KEY (practitioner_id)
    REFERENCES practitioners (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

-- Who has, or had, to do with a space: created it, joined it. Accounts only; a guest has no row. Written by the space, which
-- is why practitioner_id has no foreign key. id is made of both (actors.space.departing.member_id).
CREATE TABLE space_members (
    id              uuid        PRIMARY KEY,
    space_id        uuid        NOT NULL,
    practitioner_id uuid        NOT NULL,
    participant     boolean     NOT NULL DEFAULT false, -- now
    known_at        timestamptz NOT NULL DEFAULT now(),
    departed_at     timestamptz -- the account is gone, and its name is still to be taken out of the space's events
);
CREATE UNIQUE INDEX space_members_practitioner ON space_members (practitioner_id, space_id);
CREATE INDEX space_members_departed ON space_members (departed_at) WHERE departed_at IS NOT NULL;

-- What is known from before: of journals that are not sealed everyone who joined; of all the facilitator and who took part in a
-- group ritual. Who only spoke in a space whose journal was sealed before this migration becomes known when they join again.
INSERT INTO space_members (id, space_id, practitioner_id)
SELECT encode(substring(sha256(convert_to(space || ':' || who, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid, space::uuid, who::uuid
FROM (
    SELECT id::text AS space, facilitator_id::text AS who FROM collective_spaces
    UNION
    SELECT space_id::text, practitioner_id::text FROM ritual_sessions WHERE space_id IS NOT NULL
    UNION
    SELECT entity_id, convert_from(data, 'UTF8')::json ->> 'by' FROM journal
    WHERE kind = 'space' AND event_type IN ('created', 'joined') AND get_byte(data, 0) = 123 -- an open brace: not sealed
) known
WHERE EXISTS (SELECT FROM practitioners p WHERE p.id::text = known.who); -- guests have no account
