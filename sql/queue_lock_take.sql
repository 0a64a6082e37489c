-- Takes the lock of one list of the tracking queue, as the plugin does; no row where it is taken
-- already. Changes one row. Locks: that row.
INSERT IGNORE INTO {{locks}} (queue_key, queue_value, expiry_time)
VALUES (%s, %s, UNIX_TIMESTAMP() + %s)
