-- Gives back what probe_lock took. Changes: nothing. Locks: none.
UNLOCK TABLES
