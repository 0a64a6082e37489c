-- Reads the stored columns of one table with their types. Cost: opens that table. Locks: none.
SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS declared,
       NUMERIC_PRECISION AS digits, NUMERIC_SCALE AS decimals, DATETIME_PRECISION AS fraction,
       CHARACTER_OCTET_LENGTH AS octets, EXTRA AS extra
  FROM information_schema.COLUMNS
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
 ORDER BY ORDINAL_POSITION
