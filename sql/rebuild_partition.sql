-- Rebuilds one partition. Changes: its file, not its rows. Cost: reads and writes that partition.
-- Locks: writers of the whole table wait for the run (LOCK=NONE is refused: 1845).
ALTER TABLE {{table}} REBUILD PARTITION {{partition}}
