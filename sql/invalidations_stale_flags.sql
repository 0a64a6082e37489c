-- Finds the newest done flags that are marked invalid (4) among ids from the first number up to
-- below the second, and that no row of the queue will rebuild; which counts as the newest, see
-- invalidations_uncovered_flags. Cost: that range of the primary key, and for each flag found three
-- short ranges of an index. Locks: none (a consistent read, autocommit).
SELECT o.idarchive AS idarchive, o.name AS name, o.idsite AS idsite, o.period AS period
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
   AND o.name LIKE 'done%%' AND o.value = 4
   AND o.idsite IS NOT NULL AND o.period IS NOT NULL
   AND o.date1 >= '1990-01-01' AND o.date2 >= '1990-01-01'
   AND n.idarchive IS NULL AND w.idarchive IS NULL
   AND NOT EXISTS (SELECT 1 FROM {{queue}} q
                    WHERE q.idsite = o.idsite AND q.date1 = o.date1 AND q.period = o.period
                      AND q.date2 = o.date2
                      AND BINARY q.name IN (BINARY o.name,
                                            BINARY SUBSTRING_INDEX(o.name, '.', 1))
                      AND (q.report IS NULL OR q.report = ''))
