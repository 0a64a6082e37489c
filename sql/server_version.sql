-- Reads the server's version text (MariaDB names itself in it). Cost: none. Locks: none.
SELECT VERSION()
