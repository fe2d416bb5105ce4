-- A reader's session. Plans are made with the values: filters that are none are then no part of them, and a partial index is
-- seen to fit; planning takes 0.3 ms. A statement that runs long ends soon after whoever asked is gone.
SET plan_cache_mode = 'force_custom_plan';
SET client_connection_check_interval = '2s'
