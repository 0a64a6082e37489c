-- Counts rows by status, name, report and age, among ids from the first number up to below the
-- second. age: the number of the first of the times given that ts_invalidated is after (0: in the
-- future by over an hour: the archiver does not take it yet), 8: older than all, 9: none, so never taken
-- (Model::getNextInvalidatedArchive asks for ts_invalidated <= now).
-- Names and reports are grouped by their CRC32: as text that takes four times as long, and of a
-- thousand names two look alike once in ten thousand installations.
-- Cost: that range of the primary key, about 1 s per million rows. Locks: none (a consistent read).
SELECT status AS status, ts_started IS NOT NULL AS started, MIN(name) AS name,
       MIN(report) AS report,
       CASE WHEN ts_invalidated IS NULL THEN 9
            WHEN ts_invalidated > %s THEN 0 WHEN ts_invalidated > %s THEN 1
            WHEN ts_invalidated > %s THEN 2 WHEN ts_invalidated > %s THEN 3
            WHEN ts_invalidated > %s THEN 4 WHEN ts_invalidated > %s THEN 5
            WHEN ts_invalidated > %s THEN 6 WHEN ts_invalidated > %s THEN 7
            ELSE 8 END AS age,
       COUNT(*) AS number, CAST(MIN(ts_invalidated) AS CHAR) AS oldest
  FROM {{table}} FORCE INDEX (PRIMARY)
 WHERE idinvalidation >= %s AND idinvalidation < %s
 GROUP BY status, started, CRC32(name), CRC32(report), age
