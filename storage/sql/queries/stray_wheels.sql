-- The prayer wheel of $1, whose account is gone.
SELECT id FROM prayer_wheels w WHERE w.id = $1::uuid AND NOT EXISTS (SELECT FROM practitioners p WHERE p.id = w.id)
