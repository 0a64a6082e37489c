-- Reads what every busy connection does, with the server's own share of an ALTER that copies.
-- Without PROCESS: the own account's only. Cost: a look at the process list; once a second.
-- Locks: a mutex, for microseconds.
SELECT ID AS id, USER AS user, HOST AS host, DB AS db, COMMAND AS command,
       TIME_MS / 1000 AS seconds, STATE AS state, LEFT(INFO, 4000) AS statement,
       PROGRESS AS progress, STAGE AS stage, MAX_STAGE AS stages
  FROM information_schema.PROCESSLIST
 WHERE COMMAND NOT IN ('Sleep', 'Daemon', 'Binlog Dump') AND ID <> CONNECTION_ID()
