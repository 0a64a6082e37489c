-- Reads which sites have rows in archive_invalidations. Cost: jumps along the index (idsite, …), or
-- reads it through. Locks: none.
SELECT DISTINCT idsite AS idsite FROM {{table}} ORDER BY idsite
