-- The number of a token by its hash. Reads: one row by a unique key. Locks: none.
SELECT idusertokenauth FROM {{tokens}} WHERE password = %s
