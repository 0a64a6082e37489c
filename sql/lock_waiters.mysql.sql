-- Reads who waits for a metadata lock on one table, and for which. Cost: some milliseconds; reads
-- memory only. Locks: none. Needs SELECT on performance_schema.
SELECT t.PROCESSLIST_ID AS id, t.PROCESSLIST_USER AS user, t.PROCESSLIST_HOST AS host,
       t.PROCESSLIST_TIME AS seconds, t.PROCESSLIST_STATE AS state,
       t.PROCESSLIST_INFO AS statement, l.LOCK_TYPE AS mode
  FROM performance_schema.metadata_locks l
  JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
 WHERE l.OBJECT_TYPE = 'TABLE' AND l.LOCK_STATUS = 'PENDING'
   AND l.OBJECT_SCHEMA = %s AND l.OBJECT_NAME = %s
