-- Counts by period: all rows, those that a condition (mysql/invalidations/keep.py) lets go, and
-- how many are in progress. Cost: reads the whole table: about a second per two million rows.
-- Locks: none.
SELECT period AS period, COUNT(*) AS all_rows, COALESCE(SUM({{condition}}), 0) AS matching,
       SUM(COALESCE(status, 0) = 1) AS in_progress, MIN(date1) AS first_day, MAX(date2) AS last_day
  FROM {{table}}
 GROUP BY period
 ORDER BY period
