-- Counts queued rows, and those of them that another has made superfluous (same site, dates,
-- period, name and report), in one span of the index (idsite, date1, period). /*span*/ is a
-- condition on idsite and date1 with bound values. Names are compared by digest: as text they
-- would make a temporary table of some kilobytes a row.
-- Cost: that part of the index and, one by one, its rows: 2-10 s per million. Locks: none.
SELECT COUNT(*) AS archives, SUM(number) AS queued, SUM(number - 1) AS superfluous
  FROM (SELECT COUNT(*) AS number
          FROM {{table}} FORCE INDEX ({{index}})
         WHERE /*span*/ AND status = 0
         GROUP BY idsite, date1, period, date2,
                  UNHEX(SHA2(CONCAT_WS('\n', name, COALESCE(report, '')), 224))) AS grouped
