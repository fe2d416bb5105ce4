-- The owner as it is: for a serve that joins actors which outlived the last one. Not a beat: where there are none, the claim
-- that follows would wait for this very beat to grow old.
SELECT cluster_id, incarnation FROM cluster_owner
