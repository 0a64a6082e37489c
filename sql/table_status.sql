-- Reads one table's engine, row format, estimated rows and sizes in bytes. Cost: opens that
-- table. Locks: none that wait for DML; waits while DDL on it commits.
SELECT ENGINE AS engine, TABLE_TYPE AS type, ROW_FORMAT AS row_format, TABLE_ROWS AS estimated_rows,
       DATA_LENGTH AS data_bytes, INDEX_LENGTH AS index_bytes, DATA_FREE AS free_bytes,
       CREATE_OPTIONS AS options
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
