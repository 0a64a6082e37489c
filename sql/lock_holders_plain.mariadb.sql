-- As lock_holders, for an account without PROCESS: no transactions, and only the own account's
-- statements. Locks: none.
SELECT l.THREAD_ID AS id, p.USER AS user, p.HOST AS host, p.COMMAND AS command,
       p.TIME_MS / 1000 AS seconds, p.STATE AS state, p.INFO AS statement, l.LOCK_MODE AS mode,
       NULL AS trx_seconds, NULL AS rows_changed, NULL AS weight
  FROM information_schema.METADATA_LOCK_INFO l
  LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID
 WHERE l.LOCK_TYPE = 'Table metadata lock' AND l.TABLE_SCHEMA = %s AND l.TABLE_NAME = %s
   AND l.THREAD_ID NOT IN (0, %s, CONNECTION_ID())
