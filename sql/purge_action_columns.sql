-- Reads which columns of the schema's tables may hold an idaction: those named so, and those that a
-- plugin names. More than there are does no harm: what they hold is kept.
-- Cost: opens the tables of the schema. Locks: none.
SELECT c.TABLE_NAME AS table_name, c.COLUMN_NAME AS column_name
  FROM information_schema.COLUMNS AS c
  JOIN information_schema.TABLES AS t
       ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
 WHERE c.TABLE_SCHEMA = %s AND c.TABLE_NAME LIKE %s AND t.TABLE_TYPE = 'BASE TABLE'
   AND c.DATA_TYPE IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint')
   AND (c.COLUMN_NAME LIKE '%%idaction%%' OR c.COLUMN_NAME IN %s)
 ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION
