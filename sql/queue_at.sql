-- Reads the request set of one list that stands at or before that number (compressed; it may
-- hold tokens). Cost: an index look-up. Locks: none.
SELECT list_value AS value
  FROM {{list}}
 WHERE idqueuelist <= %s
 ORDER BY idqueuelist DESC
 LIMIT 1
