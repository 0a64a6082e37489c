-- Asks for the lock that a rebuild needs. With lock_wait_timeout = 0 (MariaDB) it never queues, so
-- nobody waits behind it: it answers at once whether somebody holds the table. Changes: nothing.
-- Locks: the table, for the microseconds until probe_unlock.
LOCK TABLES {{table}} WRITE
