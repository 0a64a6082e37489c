-- Reads what every busy connection does. Without PROCESS: the own account's only.
-- Cost: a look at the process list; once a second. Locks: a mutex, for microseconds.
SELECT ID AS id, USER AS user, HOST AS host, DB AS db, COMMAND AS command, TIME AS seconds,
       STATE AS state, LEFT(INFO, 4000) AS statement, 0 AS progress, 0 AS stage, 0 AS stages
  FROM information_schema.PROCESSLIST
 WHERE COMMAND NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID')
   AND ID <> CONNECTION_ID()
