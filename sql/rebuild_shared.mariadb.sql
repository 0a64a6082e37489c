-- As rebuild_online, for a table with a FULLTEXT or SPATIAL index. Locks: writers wait for the
-- whole run, readers go on.
ALTER TABLE {{table}} ENGINE=InnoDB, ALGORITHM=INPLACE, LOCK=SHARED
