-- Reads every connection and what it runs. Without PROCESS: the own account's only.
-- Cost: a look at the process list. Locks: none.
SELECT ID AS id, USER AS user, HOST AS host, DB AS db, COMMAND AS command,
       TIME_MS / 1000 AS seconds, STATE AS state, INFO AS statement
  FROM information_schema.PROCESSLIST
