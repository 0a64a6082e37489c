-- Estimates how many rows of a table have ids from the first number up to below the second, from
-- two dives into the primary key. Cost: two index dives. Locks: none.
-- The format is named: MySQL may be set to one without a column of rows.
EXPLAIN FORMAT=TRADITIONAL
SELECT {{key}} FROM {{table}} FORCE INDEX (PRIMARY)
 WHERE {{key}} >= %s AND {{key}} < %s
