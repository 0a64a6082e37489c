-- Reads the flags and the two basic figures of one site's archives of one day, for all visits (no
-- segment), of all plugins or of VisitsSummary alone.
-- Cost: a few rows by index_idsite_dates_period. Locks: none.
SELECT idarchive, name, value, UNIX_TIMESTAMP(ts_archived) AS made
  FROM {{archive}}
 WHERE idsite = %s AND date1 = %s AND date2 = %s AND period = 1
   AND name IN ('done', 'done.VisitsSummary', 'nb_visits', 'nb_actions')
