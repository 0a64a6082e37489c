-- Reads all rows of one window of the primary key, a column of each that no index holds. Cost:
-- its rows, at the most LIMIT; its pages may come from disk. Locks: none (a consistent read).
SELECT COUNT(*) AS n, SUM(LENGTH({{column}})) AS bytes
  FROM (SELECT {{column}} FROM {{schema}}.{{table}} FORCE INDEX (PRIMARY)
         WHERE {{key}} >= %s AND {{key}} < %s LIMIT %s) AS part
