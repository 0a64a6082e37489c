-- Reads the names of the archive tables with this prefix (%s is a LIKE pattern).
-- Cost: information_schema only. Locks: none.
SELECT TABLE_NAME AS name
  FROM information_schema.TABLES
 WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE %s
 ORDER BY TABLE_NAME
