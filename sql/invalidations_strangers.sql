-- Counts the rows up to an id that a backup has not. Cost: reads that part of both primary keys.
-- Locks: none.
SELECT COUNT(*)
  FROM {{table}} AS live
  LEFT JOIN {{backup}} AS kept ON kept.idinvalidation = live.idinvalidation
 WHERE live.idinvalidation <= %s AND kept.idinvalidation IS NULL
