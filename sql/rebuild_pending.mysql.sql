-- Reads which connections wait for a metadata lock of this one table. Cost: 7 ms measured; asked
-- only while somebody waits for some table. Locks: none.
SELECT t.processlist_id AS id
  FROM performance_schema.metadata_locks l
  JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id
 WHERE l.lock_status = 'PENDING' AND l.object_type = 'TABLE'
   AND l.object_schema = %s AND l.object_name = %s
