-- Reads the tables whose names are like a pattern (%s), with engine and bytes (data + index).
-- Cost: opens those tables. Locks: none.
SELECT TABLE_NAME AS name, TABLE_TYPE AS type, TABLE_ROWS AS estimated_rows,
       DATA_LENGTH + INDEX_LENGTH AS bytes
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE %s
 ORDER BY TABLE_NAME
