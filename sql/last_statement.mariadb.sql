-- Reads the statement of one connection; MariaDB remembers none of an idle one. Cost: small.
-- Locks: a mutex, for microseconds.
SELECT LEFT(info, 300) AS statement FROM information_schema.processlist WHERE id = %s
