-- Reads the oldest request sets of one list (compressed; they may hold tokens). Cost: that many
-- rows. Locks: none.
SELECT list_value AS value
  FROM {{list}}
 ORDER BY idqueuelist
 LIMIT %s
