-- Sets the next id of a table. Changes: its counter only, no row. Cost: milliseconds. Locks: an
-- exclusive metadata lock on that table for as long.
ALTER TABLE {{table}} AUTO_INCREMENT = %s
