-- Reads each site's id and time zone. Cost: one small table. Locks: none.
SELECT idsite, timezone FROM {{site}} ORDER BY idsite
