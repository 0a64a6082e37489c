-- Reads the days that Matomo has put down to be invalidated: report_to_invalidate_<site>_<day>.
-- (before or behind it a process number may stand). Cost: the option table. Locks: none.
SELECT option_name AS name FROM {{option}} WHERE option_name LIKE '%%report\_to\_invalidate\_%%' LIMIT %s
