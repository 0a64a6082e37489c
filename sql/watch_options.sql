-- Reads the names of all options and a digest of each value. Cost: reads the option table once
-- (some MB at the most). Locks: none.
SELECT option_name AS name, SHA2(option_value, 256) AS digest FROM {{option}}
