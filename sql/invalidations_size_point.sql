-- Reads site and first day of the first row from an id on: a point for cutting the index into
-- spans. Cost: one row. Locks: none.
SELECT idsite AS idsite, CAST(date1 AS CHAR) AS date1
  FROM {{table}} FORCE INDEX (PRIMARY)
 WHERE idinvalidation >= %s
 ORDER BY idinvalidation
 LIMIT 1
