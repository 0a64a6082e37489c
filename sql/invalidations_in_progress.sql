-- Reads the rows in progress (status 1) among ids from the first number up to below the
-- second. No index knows the status: this reads that range of the primary key.
-- ts_started is NOW() of Matomo's own sessions, thus in the server's time zone, not UTC.
-- Cost: some 0.2 s per million rows of the range. Locks: none (a consistent read, autocommit).
SELECT idinvalidation AS id, idarchive AS idarchive, name AS name, idsite AS idsite,
       CAST(date1 AS CHAR) AS date1, CAST(date2 AS CHAR) AS date2, period AS period,
       report AS report, CAST(ts_invalidated AS CHAR) AS ts_invalidated,
       CAST(ts_started AS CHAR) AS ts_started,
       TIMESTAMPDIFF(SECOND, ts_started,
         COALESCE(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@GLOBAL.time_zone), UTC_TIMESTAMP()))
         AS age_seconds,
       {{host}} AS processing_host, {{process}} AS process_id
  FROM {{table}} FORCE INDEX (PRIMARY)
 WHERE idinvalidation >= %s AND idinvalidation < %s AND status = 1
 ORDER BY idinvalidation
