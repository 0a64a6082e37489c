-- Was the token used by a batch whose transaction came about? The locking read waits for one that
-- is still at work, and sees what is committed, not a snapshot.
-- Reads: one row by primary key. Locks: that row, until the statement ends.
SELECT last_used, description FROM {{tokens}} WHERE idusertokenauth = %s FOR UPDATE
