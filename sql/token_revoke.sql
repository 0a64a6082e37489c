-- Makes a token useless without removing what it tells: who comes with it from now on is refused.
-- Changes: one row by primary key. Locks: waits for the row while a batch that used the token has
-- not ended its transaction: that is the point.
UPDATE {{tokens}} SET password = %s WHERE idusertokenauth = %s
