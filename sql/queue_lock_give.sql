-- Gives our own lock of one list of the tracking queue back. Changes one row. Locks: that row.
DELETE FROM {{locks}}
 WHERE queue_key = %s AND queue_value = %s
