-- Reads who holds a metadata lock on one table, with the holder's transaction; our own
-- connection and another one (%s) left out. Cost: 7 ms; reads memory only. Locks: none.
-- trx_started is in the server's own time zone, whatever the session's is.
-- Needs SELECT on performance_schema and PROCESS.
SELECT t.PROCESSLIST_ID AS id, t.PROCESSLIST_USER AS user, t.PROCESSLIST_HOST AS host,
       t.PROCESSLIST_COMMAND AS command, t.PROCESSLIST_TIME AS seconds,
       t.PROCESSLIST_STATE AS state, t.PROCESSLIST_INFO AS statement,
       l.LOCK_TYPE AS mode,
       TIMESTAMPDIFF(MICROSECOND, x.trx_started, CONVERT_TZ(NOW(6), '+00:00', 'SYSTEM')) / 1e6
         AS trx_seconds,
       x.trx_rows_modified AS rows_changed, x.trx_weight AS weight
  FROM performance_schema.metadata_locks l
  JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
  LEFT JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = t.PROCESSLIST_ID
 WHERE l.OBJECT_TYPE = 'TABLE' AND l.LOCK_STATUS = 'GRANTED'
   AND l.OBJECT_SCHEMA = %s AND l.OBJECT_NAME = %s
   AND t.PROCESSLIST_ID NOT IN (%s, CONNECTION_ID())
