-- Takes a token away. Changes: one row by primary key. Locks: that row.
DELETE FROM {{tokens}} WHERE idusertokenauth = %s
