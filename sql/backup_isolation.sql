-- Makes this session's transactions REPEATABLE READ: a snapshot is none under READ COMMITTED, which
-- many servers have as their default. Changes: this session only. Cost, locks: none.
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ
