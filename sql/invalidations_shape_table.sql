-- Reads one table's kind, engine, options, estimated rows, sizes in bytes, next id, and when it was
-- made (seconds since 1970). Cost: opens that table. Locks: none that wait for DML; waits while
-- DDL on it commits. MySQL caches these for a day unless information_schema_stats_expiry = 0.
SELECT TABLE_TYPE AS type, ENGINE AS engine, ROW_FORMAT AS row_format, TABLE_ROWS AS estimated_rows,
       DATA_LENGTH AS data_bytes, INDEX_LENGTH AS index_bytes, DATA_FREE AS free_bytes,
       AUTO_INCREMENT AS next_id, UNIX_TIMESTAMP(CREATE_TIME) AS created,
       CREATE_OPTIONS AS options
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s
