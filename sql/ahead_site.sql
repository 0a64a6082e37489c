-- Reads one site of the scratch database, to be tracked. Cost: one row. Locks: none.
SELECT idsite AS idsite, main_url AS url FROM {{site}} ORDER BY idsite LIMIT 1
