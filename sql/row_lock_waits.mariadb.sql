-- Reads who waits for whose row lock. Cost: reads memory; milliseconds. Locks: none.
-- Needs PROCESS.
SELECT DISTINCT r.trx_mysql_thread_id AS waiter, b.trx_mysql_thread_id AS blocker,
       l.lock_table AS name, '' AS db, l.lock_index AS index_name, l.lock_mode AS mode
  FROM information_schema.INNODB_LOCK_WAITS w
  JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id
  JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
  JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
