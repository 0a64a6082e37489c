-- Finds the rows of a range of ids for which a condition (mysql/invalidations/keep.py) holds.
-- Cost: that range of the primary key, 20,000 rows. Locks: none.
SELECT idinvalidation AS id FROM {{table}}
 WHERE idinvalidation > %s AND idinvalidation <= %s AND {{condition}}
 ORDER BY idinvalidation
