-- Reads the oldest open InnoDB transaction: it keeps purge from removing what was deleted since it
-- began. trx_started is in the server's own time zone, whatever the session's is. Needs PROCESS.
-- Cost: a walk of the open transactions. Locks: a mutex, for microseconds.
SELECT x.trx_mysql_thread_id AS id,
       TIMESTAMPDIFF(SECOND, x.trx_started, CONVERT_TZ(NOW(), '+00:00', 'SYSTEM')) AS seconds,
       p.user AS user, p.host AS host, p.command AS command
  FROM information_schema.innodb_trx x
  LEFT JOIN information_schema.processlist p ON p.id = x.trx_mysql_thread_id
 ORDER BY x.trx_started
 LIMIT 1
