-- Queues one row in progress again, as core:reset-invalidations does. Cost: one row by primary
-- key. Locks: that row, until the end of the transaction.
UPDATE {{table}} SET status = 0, ts_started = NULL{{owner}} WHERE idinvalidation = %s AND status = 1
