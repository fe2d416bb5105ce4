-- Whether $2 participates in the open space $1.
SELECT EXISTS (
    SELECT FROM space_members m JOIN collective_spaces s ON s.id = m.space_id
    WHERE m.space_id = $1::uuid AND m.practitioner_id = $2::uuid AND m.participant AND s.closed_at IS NULL) AS participates
