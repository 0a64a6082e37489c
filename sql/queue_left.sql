-- Counts the rows of the archiver's queue up to an id whose days touch a span, by status.
-- Cost: the whole queue, by its primary key: some seconds for ten million rows. Locks: none.
SELECT status, COUNT(*) AS n FROM {{table}}
 WHERE idinvalidation <= %s AND date2 >= %s AND date1 <= %s
 GROUP BY status
