-- Gives a table a name that no table has. Changes no row. Cost: milliseconds. Locks: an exclusive
-- metadata lock on it.
RENAME TABLE {{from}} TO {{to}}
