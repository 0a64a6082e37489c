-- Reads the idactions of [from, to) that one column holds in one range of the table's key.
-- Cost: that range of the primary key. Locks: none (a consistent read).
SELECT DISTINCT {{column}} AS idaction FROM {{table}} FORCE INDEX (PRIMARY)
 WHERE {{pk}} >= %s AND {{pk}} < %s AND {{column}} >= %s AND {{column}} < %s
