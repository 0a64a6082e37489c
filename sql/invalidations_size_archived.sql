-- Counts the done flags written to one archive_numeric table since a time, and since a later one
-- (UTC, as Matomo writes ts_archived). Custom ranges (period 5) come from people, not the archiver.
-- Cost: a range of index_period_archived for each period, which holds the name as part of the
-- primary key: no rows are read. Locks: none.
SELECT COUNT(*) AS day, COALESCE(SUM(ts_archived >= %s), 0) AS hour
  FROM {{numeric}}
 WHERE period IN (1, 2, 3, 4) AND ts_archived >= %s AND name LIKE 'done%%'
