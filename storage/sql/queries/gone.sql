-- Accounts that are gone, after $2: who never departed from a space, or departed and is still named, or left rituals that nobody
-- published, or a prayer wheel, or audio sessions, or what they play on a sound device. Each part has a plan of its own: with OR
-- every membership was looked at one by one.
SELECT who FROM (
    SELECT practitioner_id AS who FROM space_members WHERE departed_at IS NOT NULL
    UNION
    SELECT practitioner_id FROM space_members m
    WHERE NOT EXISTS (SELECT FROM practitioners p WHERE p.id = m.practitioner_id)
    UNION
    SELECT author_id FROM sacred_rituals r
    WHERE author_id IS NOT NULL AND withdrawn_at IS NULL AND NOT is_public
        AND NOT EXISTS (SELECT FROM practitioners p WHERE p.id = r.author_id)
    UNION
    SELECT id FROM prayer_wheels w WHERE NOT EXISTS (SELECT FROM practitioners p WHERE p.id = w.id)
    UNION
    SELECT owner_id FROM audio_sessions a
    WHERE expires_at IS NULL AND NOT EXISTS (SELECT FROM practitioners p WHERE p.id = a.owner_id)
    UNION
    SELECT practitioner_id FROM audio_voices v WHERE NOT EXISTS (SELECT FROM practitioners p WHERE p.id = v.practitioner_id)
) g
WHERE $2::uuid IS NULL OR who > $2
ORDER BY who LIMIT $1
