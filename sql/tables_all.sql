-- Reads engine, row format, estimated rows, sizes in bytes (data, index, free) and times of every
-- base table of one schema. Cost: opens each table: about a second per 5,000 tables the
-- first time, less later. Locks: none that wait for DML.
SELECT TABLE_NAME AS name, ENGINE AS engine, ROW_FORMAT AS row_format, TABLE_ROWS AS estimated_rows,
       DATA_LENGTH AS data_bytes, INDEX_LENGTH AS index_bytes, DATA_FREE AS free_bytes,
       UNIX_TIMESTAMP(CREATE_TIME) AS created, UNIX_TIMESTAMP(UPDATE_TIME) AS updated,
       CREATE_OPTIONS AS options
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'BASE TABLE'
