-- Lets the transactions of this session see what is committed, statement by statement, and lock no
-- gaps between rows. Changes: this session only. Cost, locks: none.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
