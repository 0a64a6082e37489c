-- Removes one row of Matomo's option table only if it still holds what was read before (BINARY
-- because the column's collation ignores case). Cost: one row by primary key. Locks: that row.
DELETE FROM {{option}} WHERE option_name = %s AND BINARY option_value = %s
