-- Whether the Eustress space $1 is there, and how many there are. A setting bounds their number.
SELECT EXISTS (SELECT FROM eustress_spaces WHERE id = $1) AS known, (SELECT count(*) FROM eustress_spaces) AS count
