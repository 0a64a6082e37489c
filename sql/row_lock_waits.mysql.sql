-- Reads who waits for whose row lock. Cost: reads memory; grows with the number of locks held.
-- Locks: none. Needs SELECT on performance_schema and PROCESS.
SELECT DISTINCT r.trx_mysql_thread_id AS waiter, b.trx_mysql_thread_id AS blocker,
       l.OBJECT_SCHEMA AS db, l.OBJECT_NAME AS name, l.INDEX_NAME AS index_name,
       l.LOCK_MODE AS mode
  FROM performance_schema.data_lock_waits w
  JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = w.REQUESTING_ENGINE_LOCK_ID
  JOIN information_schema.INNODB_TRX r ON r.trx_id = w.REQUESTING_ENGINE_TRANSACTION_ID
  JOIN information_schema.INNODB_TRX b ON b.trx_id = w.BLOCKING_ENGINE_TRANSACTION_ID
