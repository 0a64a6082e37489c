-- Reads site, days and period of the first row among ids from the first number up to below the
-- second: a point for cutting the index into spans, and one of an even sample of the rows.
-- Cost: one row. Locks: none.
SELECT idsite AS idsite, CAST(date1 AS CHAR) AS date1, CAST(date2 AS CHAR) AS date2,
       period AS period
  FROM {{table}} FORCE INDEX (PRIMARY)
 WHERE idinvalidation >= %s AND idinvalidation < %s
 ORDER BY idinvalidation
 LIMIT 1
