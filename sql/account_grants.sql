-- Reads the rights of our own account, roles in force included. Cost: none. Locks: none.
-- Needs no privilege. MariaDB puts the password's hash into the first row: it must be cut out.
SHOW GRANTS
