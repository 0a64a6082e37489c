-- Counts the rows of one site whose dates touch a span of days (last, first day: date1 <= last and
-- date2 >= first), with an id above another. Cost: that part of the index. Locks: none.
SELECT COUNT(*) FROM {{table}}
 WHERE idsite = %s AND date2 >= %s AND date1 <= %s AND idinvalidation > %s
