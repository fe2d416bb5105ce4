-- Whether $1 and $2 participate in the same open space now.
SELECT EXISTS (
    SELECT FROM space_members a JOIN space_members b ON b.space_id = a.space_id JOIN collective_spaces s ON s.id = a.space_id
    WHERE a.practitioner_id = $1::uuid AND b.practitioner_id = $2::uuid AND a.participant AND b.participant
        AND s.closed_at IS NULL) AS shared
