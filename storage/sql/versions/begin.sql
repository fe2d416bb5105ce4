-- A commit with versioned rows. These tables grow by tens of thousands of rows a second, and a plan that was kept from when one of
-- them was small would read it whole: so every statement of the transaction looks up by an index, whatever the planner believes.
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off
