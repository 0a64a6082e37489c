-- Removes one request set from a list. Changes one row. Locks: that row.
DELETE FROM {{list}}
 WHERE idqueuelist = %s
