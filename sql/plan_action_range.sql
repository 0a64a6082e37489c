-- Reads the first and the last action's number. Cost: two index dives. Locks: none.
SELECT MIN(idlink_va) AS low, MAX(idlink_va) AS high FROM {{actions}}
