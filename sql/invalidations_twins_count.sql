-- Counts what invalidations_twins finds. Cost: the rows of one site's days, by index and row,
-- sorted. Locks: none.
SELECT COUNT(*) AS number
  FROM (SELECT idinvalidation AS id,
               MAX(idinvalidation) OVER twins AS keeper,
               MAX(COALESCE(status, 0)) OVER twins AS busy
          FROM {{table}}
         WHERE idsite = %s AND date1 >= %s AND date1 <= %s AND NOT ({{kept}})
        WINDOW twins AS (PARTITION BY date1, date2, period, name, COALESCE(report, ''))) AS part
 WHERE id < keeper AND busy = 0
