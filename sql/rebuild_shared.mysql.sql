-- As rebuild_online, for a table with a FULLTEXT or SPATIAL index: MySQL can only copy it. Locks:
-- writers wait for the whole run, readers go on.
ALTER TABLE {{table}} ENGINE=InnoDB, ALGORITHM=COPY, LOCK=SHARED
