-- Reads the sites there are, with their time zones. Cost: a small table. Locks: none.
SELECT idsite, timezone FROM {{site}} ORDER BY idsite
