-- A statement that sorts a million rows ends soon after whoever asked is gone.
SET client_connection_check_interval = '2s'
