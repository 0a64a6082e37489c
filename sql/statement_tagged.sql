-- Finds the connections whose statement begins with a tag of ours. Cost: a walk of the process
-- list. Locks: a mutex, for microseconds.
SELECT id AS id, time AS seconds, state AS state, info AS statement
  FROM information_schema.processlist
 WHERE LEFT(info, CHAR_LENGTH(%s)) = %s
