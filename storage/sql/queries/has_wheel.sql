-- Whether $1 has a prayer wheel.
SELECT FROM prayer_wheels WHERE id = $1::uuid
