-- Reads every metadata lock on tables that is held, and the server-wide one (of a FLUSH TABLES WITH
-- READ LOCK, a backup, and of all that writes); those waited for are not shown by MariaDB.
-- Cost: reads memory; milliseconds. Locks: none. Needs the plug-in metadata_lock_info.
SELECT THREAD_ID AS id, IF(LOCK_TYPE = 'Backup lock', 'BACKUP', 'TABLE') AS kind,
       TABLE_SCHEMA AS db, IF(LOCK_TYPE = 'Backup lock', 'backup lock', TABLE_NAME) AS name,
       LOCK_MODE AS mode, 0 AS pending
  FROM information_schema.METADATA_LOCK_INFO
 WHERE LOCK_TYPE IN ('Table metadata lock', 'Backup lock') AND THREAD_ID NOT IN (0, CONNECTION_ID())
