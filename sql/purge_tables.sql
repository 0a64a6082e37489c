-- Reads the names of the base tables that begin alike, with their engine.
-- Cost: the schema's table list. Locks: none.
SELECT TABLE_NAME AS name, ENGINE AS engine
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = %s AND TABLE_NAME LIKE %s AND TABLE_TYPE = 'BASE TABLE'
 ORDER BY TABLE_NAME
