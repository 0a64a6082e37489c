-- Finds a row that makes another one needless: same site, dates, period, name and report (none and
-- '' are the same), and queued, or begun on after the other was asked for
-- (Model::releaseInProgressInvalidations). Cost: the rows of one site, day and period.
-- Locks: what it reads, until the end of the transaction: a twin must not go meanwhile.
SELECT idinvalidation AS id FROM {{table}}
 WHERE idsite = %s AND date1 = %s AND date2 = %s AND period = %s AND name = %s
   AND COALESCE(report, '') = %s
   AND (COALESCE(status, 0) = 0 OR (status = 1 AND ts_started > %s))
   AND idinvalidation <> %s
 LIMIT 1
   FOR UPDATE
