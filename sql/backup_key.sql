-- Reads the columns of one table's primary key, in order; prefix: only so many characters are in it.
-- Cost: opens the table. Locks: none that wait for DML.
SELECT COLUMN_NAME AS name, SUB_PART AS prefix
  FROM information_schema.STATISTICS
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY'
 ORDER BY SEQ_IN_INDEX
