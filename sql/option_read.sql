-- Reads one row of Matomo's option table by primary key. Cost: one row. Locks: none.
SELECT option_value FROM {{option}} WHERE option_name = %s
