-- Takes the invalid mark off one archive, if it still has it: 4 becomes 1 (ArchiveWriter.php).
-- Cost: one row by primary key. Locks: that row, until the end of the transaction.
UPDATE {{numeric}} SET value = 1 WHERE idarchive = %s AND name = %s AND value = 4
