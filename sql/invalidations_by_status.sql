-- Counts archive_invalidations by status (0 queued, 1 in progress), with the first and last
-- start. Cost: reads the whole table: about a second per two million rows. Locks: none.
SELECT status AS status, COUNT(*) AS number, UNIX_TIMESTAMP(MIN(ts_started)) AS first_started,
       UNIX_TIMESTAMP(MAX(ts_started)) AS last_started
  FROM {{invalidations}}
 GROUP BY status
