-- Reads every open InnoDB transaction, as it was when nobody had asked for 0.1 s: so do not poll
-- it faster. trx_started is in the server's own time zone, whatever the
-- session's is. Cost: reads memory; milliseconds. Locks: none that wait. Needs PROCESS.
SELECT trx_mysql_thread_id AS id,
       TIMESTAMPDIFF(MICROSECOND, trx_started, CONVERT_TZ(NOW(6), '+00:00', 'SYSTEM')) / 1e6
         AS trx_seconds,
       TIMESTAMPDIFF(MICROSECOND, trx_wait_started, CONVERT_TZ(NOW(6), '+00:00', 'SYSTEM')) / 1e6
         AS wait_seconds,
       trx_rows_modified AS rows_changed, trx_weight AS weight, trx_query AS statement
  FROM information_schema.INNODB_TRX
 WHERE trx_mysql_thread_id <> 0
