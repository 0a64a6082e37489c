-- Marks the place to roll back to, so that a table's metadata lock goes when that table was read.
-- Changes nothing. Cost, locks: none.
SAVEPOINT matops_backup
