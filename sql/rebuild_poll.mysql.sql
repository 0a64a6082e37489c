-- Reads the state of one connection and every client that waits for a metadata lock. Cost: a walk
-- of the process list; asked some times a second. Locks: none (performance_schema; 8.0.22).
SELECT id AS id, user AS user, host AS host, time AS seconds, state AS state,
       LEFT(info, 400) AS statement
  FROM performance_schema.processlist
 WHERE id = %s OR LEFT(state, 31) = 'Waiting for table metadata lock'
