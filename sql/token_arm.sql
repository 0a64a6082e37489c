-- Before a batch: the token as if never used, under the batch's name. Matomo writes last_used in
-- the transaction of the first batch that uses it: that is how a batch is known to be recorded.
-- Changes: one row by primary key. Locks: that row, which an earlier batch may still hold.
UPDATE {{tokens}}
   SET last_used = NULL, description = %s, date_expired = UTC_TIMESTAMP() + INTERVAL 2 DAY
 WHERE idusertokenauth = %s
