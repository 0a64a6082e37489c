-- Reads the first days of one site, between two, whose reports wait to be built anew from raw logs.
-- Cost: a range of the index (idsite, date1, period), at most so many rows. Locks: none.
SELECT date1 AS day FROM {{archive_invalidations}}
 WHERE idsite = %s AND date1 >= %s AND date1 <= %s AND period = 1
 ORDER BY date1 LIMIT %s
