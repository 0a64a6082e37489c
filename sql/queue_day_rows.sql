-- Counts, of one site, the days in a span that the archiver's queue will rebuild for all visits
-- (a row `done` of period 1 that nobody has taken yet).
-- Cost: that part of index_idsite_dates_period_name. Locks: none.
SELECT COUNT(DISTINCT date1) FROM {{table}}
 WHERE idsite = %s AND date1 >= %s AND date1 <= %s AND period = 1 AND name = 'done' AND status = 0
