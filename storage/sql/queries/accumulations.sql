-- What $1 turned, a mantra's accumulation a row, before the one $3, newest first; $4: dedicated ones, open ones, all (NULL). With
-- the wheel's spin, where it counts into this one.
SELECT a.id, a.mantra, a.intention, a.rotations, a.began_at, a.dedicated_at, a.dedication, a.dedication_id,
       w.rate_mrpm, w.spin_began_at, w.spin_ends_at, w.spin_angle
FROM prayer_accumulations a LEFT JOIN prayer_wheels w ON w.id = a.practitioner_id AND w.spinning = a.id
WHERE a.practitioner_id = $1::uuid
    AND ($4::boolean IS NULL OR (a.dedicated_at IS NOT NULL) = $4)
    AND ($5::uuid IS NULL OR a.id = $5)
    AND ($3::uuid IS NULL OR (a.began_at, a.id) < (SELECT c.began_at, c.id FROM prayer_accumulations c
                                                       WHERE c.id = $3::uuid AND c.practitioner_id = $1::uuid))
ORDER BY a.began_at DESC, a.id DESC
LIMIT $2
