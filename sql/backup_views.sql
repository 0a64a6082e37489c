-- Reads the names of a schema's views and of what else is neither table nor view (sequences).
-- Cost: none to speak of. Locks: none.
SELECT TABLE_NAME AS name, TABLE_TYPE AS kind
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = %s AND TABLE_TYPE NOT IN ('BASE TABLE', 'TEMPORARY')
 ORDER BY TABLE_NAME
