-- Counts and measures the rows of one small window of the primary key; the measures (sums of
-- LENGTH) are built by mysql/sampling.py. Cost: a dive and some tens of rows, their off-page
-- values included; never more than 2000 rows. Locks: none (a consistent read).
SELECT COUNT(*) AS n, {{measures}}
  FROM (SELECT * FROM {{table}} FORCE INDEX (PRIMARY)
         WHERE {{key}} >= %s AND {{key}} < %s LIMIT 2000) AS part
