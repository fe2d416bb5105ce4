-- Voices that sound on sound devices, or will: an account that ends finds its own by them. The entity audio alone writes them, and a
-- row goes with its voice. No foreign keys: practitioner and session are other entities' rows.
CREATE TABLE audio_voices (
    id              uuid        PRIMARY KEY,
    device          text        NOT NULL,
    practitioner_id uuid        NOT NULL,
    session_id      uuid,
    begins_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL
);
CREATE INDEX audio_voices_practitioner ON audio_voices (practitioner_id);
