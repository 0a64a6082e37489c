-- Reads the state of one connection and every client that waits for a lock, and whether its whole
-- statement (which may be long) holds a name. Cost: a walk of the process list; asked some times a
-- second. Locks: a mutex, for microseconds.
SELECT id AS id, user AS user, host AS host, time_ms / 1000 AS seconds, state AS state,
       LEFT(info, 400) AS statement, LOCATE(%s, info) > 0 AS mentions
  FROM information_schema.processlist
 WHERE id = %s OR LEFT(state, 12) = 'Waiting for '
