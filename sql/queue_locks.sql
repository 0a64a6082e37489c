-- Reads the locks of the queue's workers, with the seconds that each has left by the server's
-- clock. Cost: a table of a few rows. Locks: none.
SELECT queue_key AS name, CAST(expiry_time AS SIGNED) - UNIX_TIMESTAMP() AS seconds
  FROM {{locks}}
 WHERE queue_key LIKE %s AND expiry_time >= UNIX_TIMESTAMP()
