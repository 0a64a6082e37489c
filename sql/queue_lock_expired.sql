-- Removes a lock of the tracking queue that has run out. Changes one row. Locks: that row.
DELETE FROM {{locks}}
 WHERE queue_key = %s AND expiry_time < UNIX_TIMESTAMP()
