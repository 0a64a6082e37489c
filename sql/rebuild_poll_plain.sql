-- As rebuild_poll, where performance_schema is off or not readable. Locks: a mutex of the process
-- list, for microseconds.
SELECT id AS id, user AS user, host AS host, time AS seconds, state AS state,
       LEFT(info, 400) AS statement, LOCATE(%s, info) > 0 AS mentions
  FROM information_schema.processlist
 WHERE id = %s OR LEFT(state, 12) = 'Waiting for '
