-- Reads the database server's clock, seconds since 1970. Cost: none. Locks: none.
SELECT UNIX_TIMESTAMP(NOW(6)) AS clock
