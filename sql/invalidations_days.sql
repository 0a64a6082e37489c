-- Counts rows by site and first day, behind one (site, site, day), at most so many groups.
-- Cost: a range of the index (idsite, date1, period), covering. Locks: none.
SELECT idsite AS idsite, CAST(date1 AS CHAR) AS day, COUNT(*) AS number
  FROM {{table}}
 WHERE idsite >= %s AND NOT (idsite = %s AND date1 <= %s)
 GROUP BY idsite, date1
 ORDER BY idsite, date1
 LIMIT %s
