-- Removes the throw-away account. Changes: the server's accounts. Cost, locks: none.
DROP USER IF EXISTS %s@%s
