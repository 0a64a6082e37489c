-- Reads the oldest request set of one list with its number (it may hold tokens). Cost: one row.
-- Locks: none.
SELECT idqueuelist AS id, list_value AS value
  FROM {{list}}
 ORDER BY idqueuelist
 LIMIT 1
