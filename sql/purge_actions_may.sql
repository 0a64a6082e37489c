-- Asks whether the account may change and delete actions: EXPLAIN needs the same privileges (1142
-- where they are missing) and changes nothing. Cost: one plan. Locks: none.
EXPLAIN UPDATE {{table}} SET hash = 0 WHERE {{column}} = 0
