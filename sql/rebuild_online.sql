-- Rebuilds one InnoDB table (partitions, too) while it is read and written; refuses rather than
-- fall back to a copy that blocks writers. Changes: the table's file, not its rows. Cost: reads and
-- writes all of it, the space of the new file beside the old one. Locks: an exclusive metadata
-- lock for milliseconds at the start and again at the commit.
ALTER TABLE {{table}} ENGINE=InnoDB, ALGORITHM=INPLACE, LOCK=NONE
