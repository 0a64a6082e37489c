-- Reads the columns of each index of one table, and how many different values there are up to and
-- including each (the optimizer's estimate). Cost: opens that table. Locks: none.
SELECT INDEX_NAME AS name, SEQ_IN_INDEX AS position, COLUMN_NAME AS column_name,
       CARDINALITY AS distinct_values
  FROM information_schema.STATISTICS
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
 ORDER BY INDEX_NAME, SEQ_IN_INDEX
