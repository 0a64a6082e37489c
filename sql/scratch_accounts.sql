-- Reads from where a throw-away account may connect. Needs SELECT on mysql.*. Cost, locks: none.
SELECT Host AS host FROM mysql.user WHERE User = %s
