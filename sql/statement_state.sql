-- Reads what one connection is doing now. Cost: a walk of the process list. Locks: a mutex, for
-- microseconds. Needs no privilege for connections of the own account.
SELECT state AS state FROM information_schema.processlist WHERE id = %s
