-- Reads one row near a random point of the primary key: the columns that are asked for (built by
-- mysql/ddl/dives.py). Cost: one dive, one page that may come from disk. Locks: none (a
-- consistent read).
SELECT {{columns}} FROM {{schema}}.{{table}} FORCE INDEX (PRIMARY)
 WHERE {{key}} >= %s ORDER BY {{key}} LIMIT 1
