-- What is still to be done about accounts that are gone: spaces where they never departed, or departed and are still named.
SELECT space_id, practitioner_id, departed_at IS NOT NULL AS departed FROM space_members m
WHERE departed_at IS NOT NULL OR NOT EXISTS (SELECT FROM practitioners p WHERE p.id = m.practitioner_id)
ORDER BY id LIMIT $1
