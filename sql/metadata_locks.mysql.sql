-- Reads every metadata lock on tables and schemas, granted and waited for. Cost: reads memory;
-- milliseconds. Locks: none. Needs SELECT on performance_schema.
SELECT t.PROCESSLIST_ID AS id, l.OBJECT_TYPE AS kind, l.OBJECT_SCHEMA AS db, l.OBJECT_NAME AS name,
       l.LOCK_TYPE AS mode, l.LOCK_STATUS = 'PENDING' AS pending
  FROM performance_schema.metadata_locks l
  JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
 WHERE l.OBJECT_TYPE IN ('TABLE', 'SCHEMA', 'GLOBAL', 'COMMIT', 'BACKUP LOCK')
   AND l.OBJECT_SCHEMA IS NOT NULL AND t.PROCESSLIST_ID <> CONNECTION_ID()
