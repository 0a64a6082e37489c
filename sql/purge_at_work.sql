-- Reads the statements of Matomo's own deletion of raw logs that run right now: those of other
-- accounts only with PROCESS. Cost: the process list. Locks: none.
SELECT ID AS id, USER AS user, HOST AS host, LEFT(INFO, 120) AS statement
  FROM information_schema.PROCESSLIST
 WHERE ID <> CONNECTION_ID()
   AND (INFO LIKE %s OR INFO LIKE %s)
