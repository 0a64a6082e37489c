-- Estimates how many rows of a table have ids from the first number up to below the second, from
-- two dives into the primary key. Cost: two index dives. Locks: none.
-- The format is named: MySQL may be set to one without a column of rows. USE, not FORCE: with a
-- forced index MySQL 8 and newer do not dive, and say 1.
EXPLAIN FORMAT=TRADITIONAL
SELECT {{key}} FROM {{table}} USE INDEX (PRIMARY)
 WHERE {{key}} >= %s AND {{key}} < %s
