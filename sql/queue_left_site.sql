-- Counts one site's rows of the archiver's queue up to an id whose days touch a span, by status.
-- Cost: that site's rows, by index_idsite_dates_period_name. Locks: none.
SELECT status, COUNT(*) AS n FROM {{table}}
 WHERE idsite = %s AND idinvalidation <= %s AND date2 >= %s AND date1 <= %s
 GROUP BY status
