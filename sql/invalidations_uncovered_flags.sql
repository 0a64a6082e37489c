-- Reads the newest done flags that are marked invalid (4, or 6: while being written) among ids
-- from the first number up to below the second. One with a newer archive of the same site, dates,
-- period and name, or a newer one of all plugins, is passed over: Matomo uses the newest
-- (ArchiveSelector.php); a partial one (5) or a failed one (2) replaces nothing. One without site,
-- days or period (the columns may be NULL, a day 0000-00-00) is nobody's: Matomo never finds it.
-- Cost: reads that range of the primary key, for no index begins with the name; then two short
-- ranges of index_idsite_dates_period (name(6) is its last part) for each flag found. Forced: with
-- statistics of a young table MariaDB takes index_period_archived, and reads it whole for each flag.
-- Locks: none (a consistent read, autocommit).
SELECT o.name AS name, o.idsite AS idsite, CAST(o.date1 AS CHAR) AS date1,
       CAST(o.date2 AS CHAR) AS date2, o.period AS period
  FROM {{numeric}} o FORCE INDEX (PRIMARY)
  LEFT JOIN {{numeric}} n FORCE INDEX (index_idsite_dates_period)
    ON n.idsite = o.idsite AND n.date1 = o.date1 AND n.date2 = o.date2 AND n.period = o.period
   AND n.name = o.name AND n.value IN (1, 3, 4, 6)
   AND (n.ts_archived > o.ts_archived
        OR (n.ts_archived = o.ts_archived AND n.idarchive > o.idarchive))
  LEFT JOIN {{numeric}} w FORCE INDEX (index_idsite_dates_period)
    ON w.idsite = o.idsite AND w.date1 = o.date1 AND w.date2 = o.date2 AND w.period = o.period
   AND w.name = SUBSTRING_INDEX(o.name, '.', 1) AND w.name <> o.name AND w.value IN (1, 3, 4, 6)
   AND (w.ts_archived > o.ts_archived
        OR (w.ts_archived = o.ts_archived AND w.idarchive > o.idarchive))
 WHERE o.idarchive >= %s AND o.idarchive < %s
   AND o.name LIKE 'done%%' AND o.value IN (4, 6)
   AND o.idsite IS NOT NULL AND o.period IS NOT NULL
   AND o.date1 >= '1990-01-01' AND o.date2 >= '1990-01-01'
   AND n.idarchive IS NULL AND w.idarchive IS NULL
