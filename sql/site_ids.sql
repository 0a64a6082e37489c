-- Reads the ids of all sites that exist. Cost: one small table. Locks: none.
SELECT idsite FROM {{site}} ORDER BY idsite
