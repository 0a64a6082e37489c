-- Reads who holds a metadata lock on one table, with the holder's transaction; our own
-- connection, another one (%s) and the purge thread (0) left out. Cost: some milliseconds; reads
-- memory only. Locks: none. Needs the plug-in metadata_lock_info, and PROCESS.
-- trx_started is in the server's own time zone, whatever the session's is.
SELECT l.THREAD_ID AS id, p.USER AS user, p.HOST AS host, p.COMMAND AS command,
       p.TIME_MS / 1000 AS seconds, p.STATE AS state, p.INFO AS statement, l.LOCK_MODE AS mode,
       TIMESTAMPDIFF(MICROSECOND, x.trx_started, CONVERT_TZ(NOW(6), '+00:00', 'SYSTEM')) / 1e6
         AS trx_seconds,
       x.trx_rows_modified AS rows_changed, x.trx_weight AS weight
  FROM information_schema.METADATA_LOCK_INFO l
  LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID
  LEFT JOIN information_schema.INNODB_TRX x ON x.trx_mysql_thread_id = l.THREAD_ID
 WHERE l.LOCK_TYPE = 'Table metadata lock' AND l.TABLE_SCHEMA = %s AND l.TABLE_NAME = %s
   AND l.THREAD_ID NOT IN (0, %s, CONNECTION_ID())
