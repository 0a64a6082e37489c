-- Marks one archive invalid again, if it is still valid: 1 becomes 4 (ArchiveWriter.php).
-- Cost: one row by primary key. Locks: that row, until the end of the transaction.
UPDATE {{numeric}} SET value = 4 WHERE idarchive = %s AND name = %s AND value = 1
