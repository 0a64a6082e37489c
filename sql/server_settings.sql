-- Reads all of the server's settings. Cost: some milliseconds. Locks: none. Needs no privilege.
SHOW GLOBAL VARIABLES
