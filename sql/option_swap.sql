-- Changes one row of Matomo's option table only if it still holds what was read before
-- (compare and swap; BINARY because the column's collation ignores case).
-- Cost: one row by primary key. Locks: that row.
UPDATE {{option}} SET option_value = %s WHERE option_name = %s AND BINARY option_value = %s
