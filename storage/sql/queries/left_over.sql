-- Spaces, after $3, that have still to do with the account $1: where it departed and is still named, and where it never departed
-- though it is gone.
SELECT space_id, departed_at IS NOT NULL AS departed FROM space_members
WHERE practitioner_id = $1::uuid AND ($3::uuid IS NULL OR space_id > $3)
    AND (departed_at IS NOT NULL OR NOT EXISTS (SELECT FROM practitioners p WHERE p.id = $1::uuid))
ORDER BY space_id LIMIT $2
