-- Lets this session's INSERT … SELECT read without locking the rows it reads. Changes: this
-- session. Cost, locks: none.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
