-- Reads the highest id in a table. Cost: one row at the end of the primary key. Locks: none.
SELECT MAX(idinvalidation) FROM {{table}}
