-- Reads the columns of each index of one table. Cost: opens that table. Locks: none.
SELECT INDEX_NAME AS name, SEQ_IN_INDEX AS position, COLUMN_NAME AS column_name,
       SUB_PART AS prefix_length, INDEX_TYPE AS type, NON_UNIQUE AS repeated
  FROM information_schema.STATISTICS
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
 ORDER BY INDEX_NAME, SEQ_IN_INDEX
