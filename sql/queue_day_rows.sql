-- Counts, of one site, the days in a span that the archiver's queue will rebuild for all visits
-- (a row `done` of period 1 that nobody has taken yet), with their year: Matomo queues it last, so
-- that a call that was killed half-way, with days but not what they are part of, is seen.
-- Cost: that part of index_idsite_dates_period_name. Locks: none.
SELECT COUNT(DISTINCT d.date1) FROM {{table}} AS d
 WHERE d.idsite = %s AND d.date1 >= %s AND d.date1 <= %s
   AND d.period = 1 AND d.name = 'done' AND d.status = 0
   AND EXISTS (
       SELECT 1 FROM {{table}} AS y
        WHERE y.idsite = d.idsite AND y.date1 = MAKEDATE(YEAR(d.date1), 1)
          AND y.period = 4 AND y.name = 'done' AND y.status = 0)
