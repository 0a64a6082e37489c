-- Reads the newest request sets of one list (compressed; they may hold tokens), the newest
-- first. Cost: that many rows. Locks: none.
SELECT list_value AS value
  FROM {{list}}
 ORDER BY idqueuelist DESC
 LIMIT %s
