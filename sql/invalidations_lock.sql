-- Locks rows by id, those for which a condition (mysql/invalidations/keep.py) still holds.
-- Cost: as many rows by primary key. Locks: these rows, until the end of the transaction.
SELECT idinvalidation AS id FROM {{table}}
 WHERE idinvalidation IN ({{ids}}) AND {{condition}}
 ORDER BY idinvalidation
   FOR UPDATE
