-- Reads the time so many seconds ago, as ts_started is written: NOW() of Matomo's own sessions,
-- thus in the server's time zone. Cost: none. Locks: none.
SELECT CAST(COALESCE(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@GLOBAL.time_zone), UTC_TIMESTAMP())
            - INTERVAL %s SECOND AS CHAR)
