-- Proves whether this account may OPTIMIZE outside the binary log: MySQL asks for the privilege
-- OPTIMIZE_LOCAL_TABLE since 8.3, and does so before it looks for the table. Changes: nothing, there
-- is no such table. Cost: none. Locks: none.
OPTIMIZE NO_WRITE_TO_BINLOG TABLE matops_no_such_table
