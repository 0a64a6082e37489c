-- Asks whether the session may leave the binary log: sets the variable to the value it has.
-- Changes nothing. Refused with 1227 where not. Cost, locks: none.
SET SESSION sql_log_bin = @@SESSION.sql_log_bin
