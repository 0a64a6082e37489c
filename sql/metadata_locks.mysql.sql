-- Reads every metadata lock on tables and schemas, and those of the whole server (a FLUSH TABLES WITH
-- READ LOCK, a backup) and GET_LOCK's, granted and waited for. Cost: reads memory; milliseconds.
-- Locks: none. Needs SELECT on performance_schema.
SELECT t.PROCESSLIST_ID AS id, l.OBJECT_TYPE AS kind, COALESCE(l.OBJECT_SCHEMA, '') AS db,
       IF(l.OBJECT_SCHEMA IS NULL, CONCAT_WS(' ', LOWER(l.OBJECT_TYPE), l.OBJECT_NAME),
          l.OBJECT_NAME) AS name,
       l.LOCK_TYPE AS mode, l.LOCK_STATUS = 'PENDING' AS pending
  FROM performance_schema.metadata_locks l
  JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
 WHERE l.OBJECT_TYPE IN ('TABLE', 'SCHEMA', 'GLOBAL', 'COMMIT', 'BACKUP LOCK', 'USER LEVEL LOCK')
   AND t.PROCESSLIST_ID <> CONNECTION_ID()
