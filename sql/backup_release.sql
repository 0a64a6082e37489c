-- Gives back the metadata locks taken since the savepoint; the read view stays. Changes nothing.
-- Cost, locks: none.
ROLLBACK TO SAVEPOINT matops_backup
