-- As lock_holders, for an account without PROCESS: no transactions. Locks: none.
SELECT t.PROCESSLIST_ID AS id, t.PROCESSLIST_USER AS user, t.PROCESSLIST_HOST AS host,
       t.PROCESSLIST_COMMAND AS command, t.PROCESSLIST_TIME AS seconds,
       t.PROCESSLIST_STATE AS state, t.PROCESSLIST_INFO AS statement, l.LOCK_TYPE AS mode,
       NULL AS trx_seconds, NULL AS rows_changed, NULL AS weight
  FROM performance_schema.metadata_locks l
  JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
 WHERE l.OBJECT_TYPE = 'TABLE' AND l.LOCK_STATUS = 'GRANTED'
   AND l.OBJECT_SCHEMA = %s AND l.OBJECT_NAME = %s
   AND t.PROCESSLIST_ID NOT IN (%s, CONNECTION_ID())
