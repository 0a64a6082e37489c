-- Removes the scratch database with all that is in it. Only ever given a name that
-- matops.mysql.scratch made. Cost: some milliseconds a table. Locks: its own tables.
DROP DATABASE IF EXISTS {{scratch}}
