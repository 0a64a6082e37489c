-- Reads which connection holds a named lock; NULL where none does. Cost: none. Locks: none.
SELECT IS_USED_LOCK(%s)
