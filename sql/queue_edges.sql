-- Reads the first and the last number of one list of the tracking queue (NULL where it is
-- empty). Cost: two ends of the primary key. Locks: none.
SELECT MIN(idqueuelist) AS low, MAX(idqueuelist) AS high
  FROM {{list}}
