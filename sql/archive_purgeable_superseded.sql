-- Counts archives that a newer usable one of the same site, dates, period and name replaces
-- (what core:purge-old-archive-data calls invalidated). Partial ones (5) are left out: the newest
-- may be partial and is kept, so this is a lower bound, and 0 after a purge.
-- Cost: scans one archive_numeric table, as the console command itself does. Locks: none.
SELECT COALESCE(SUM(copies - 1), 0)
  FROM (SELECT COUNT(*) AS copies
          FROM {{table}}
         WHERE name LIKE 'done%%' AND value NOT IN (2, 5, 6) AND ts_archived < %s
         GROUP BY idsite, date1, date2, period, name
        HAVING COUNT(*) > 1) AS doubled
