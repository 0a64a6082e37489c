-- Reads every metadata lock that is held; those waited for are not shown by MariaDB.
-- Cost: reads memory; milliseconds. Locks: none. Needs the plug-in metadata_lock_info.
SELECT THREAD_ID AS id, 'TABLE' AS kind, TABLE_SCHEMA AS db, TABLE_NAME AS name,
       LOCK_MODE AS mode, 0 AS pending
  FROM information_schema.METADATA_LOCK_INFO
 WHERE LOCK_TYPE = 'Table metadata lock' AND THREAD_ID NOT IN (0, CONNECTION_ID())
