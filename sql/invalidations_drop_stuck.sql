-- Deletes one row in progress that an identical one makes needless. Cost: one row by primary key.
-- Locks: that row, until the end of the transaction.
DELETE FROM {{table}} WHERE idinvalidation = %s AND status = 1
