-- Reads what decides how one table can be rebuilt: its kind, engine, options, sizes in bytes, when
-- it was made (a rebuild makes it anew). Cost: one metadata look. Locks: none that wait for DML.
SELECT table_type AS type, engine AS engine, create_time AS created,
       TIMESTAMPDIFF(SECOND, create_time, NOW()) AS age_seconds, create_options AS options,
       data_length AS data_bytes, index_length AS index_bytes, data_free AS free_bytes,
       avg_row_length AS row_bytes
  FROM information_schema.tables
 WHERE table_schema = %s AND table_name = %s
