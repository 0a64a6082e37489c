-- Reads one table's columns: name, type, and the expression of a generated one (whose values are
-- not written to a dump). Cost: opens the table. Locks: none that wait for DML.
SELECT COLUMN_NAME AS name, LOWER(DATA_TYPE) AS type, GENERATION_EXPRESSION AS expression
  FROM information_schema.COLUMNS
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
 ORDER BY ORDINAL_POSITION
