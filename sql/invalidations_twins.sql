-- Finds queued rows that have a queued twin with a higher id: same site, dates, period, name and
-- report (none and '' are the same to Matomo); not where a twin is in progress, nor rows that a
-- condition (mysql/invalidations/keep.py) keeps.
-- Cost: the rows of one site's days, by index and row, sorted. Locks: none.
SELECT id, keeper
  FROM (SELECT idinvalidation AS id,
               MAX(idinvalidation) OVER twins AS keeper,
               MAX(COALESCE(status, 0)) OVER twins AS busy
          FROM {{table}}
         WHERE idsite = %s AND date1 >= %s AND date1 <= %s AND NOT ({{kept}})
        WINDOW twins AS (PARTITION BY date1, date2, period, name, COALESCE(report, ''))) AS part
 WHERE id < keeper AND busy = 0
 ORDER BY id
 LIMIT %s
