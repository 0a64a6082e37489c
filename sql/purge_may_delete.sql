-- Asks whether the account may delete from a table: EXPLAIN needs the same privileges (1142 where
-- they are missing) and deletes nothing. Cost: one plan. Locks: none.
EXPLAIN DELETE FROM {{table}} WHERE {{column}} = 0
