-- Reads all statements that wait for some table's metadata lock (MariaDB does not tell which).
-- Without PROCESS: the own account's only. Cost: a look at the process list. Locks: none.
SELECT ID AS id, USER AS user, HOST AS host, TIME_MS / 1000 AS seconds, STATE AS state,
       INFO AS statement, '' AS mode
  FROM information_schema.PROCESSLIST
 WHERE STATE LIKE 'Waiting for table metadata lock%'
