-- Reads name, engine and size (data + index + free, in bytes; rows are an estimate) of the
-- schema's base tables. Cost: one metadata look at each table; some seconds with thousands of
-- archive tables and a cold cache. Locks: none that wait for DML.
SELECT table_name AS name, engine AS engine, table_rows AS estimated_rows,
       data_length AS data_bytes, index_length AS index_bytes, data_free AS free_bytes
  FROM information_schema.tables
 WHERE table_schema = %s AND table_type = 'BASE TABLE'
