-- Reads the server's clock, in seconds since 1970. Cost: none. Locks: none.
SELECT UNIX_TIMESTAMP(NOW(6))
