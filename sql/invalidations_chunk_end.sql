-- Finds the end of a chunk: the id so many rows behind another (%s, %s = rows - 1).
-- Cost: so many rows of the primary key. Locks: none.
SELECT idinvalidation FROM {{table}} WHERE idinvalidation > %s
 ORDER BY idinvalidation LIMIT 1 OFFSET %s
