-- Counts the request sets of one list, at most so many. Cost: reads that many rows of the
-- primary key. Locks: none.
SELECT COUNT(*) AS number
  FROM (SELECT idqueuelist FROM {{list}} LIMIT %s) AS some
