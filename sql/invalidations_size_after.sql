-- Counts the rows with ids above one. Cost: those rows of the primary key. Locks: none.
SELECT COUNT(*) FROM {{table}} FORCE INDEX (PRIMARY) WHERE idinvalidation > %s
