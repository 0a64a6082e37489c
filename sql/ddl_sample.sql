-- Copies rows of one window of the primary key into a sample table in a scratch schema (columns
-- are filled in by mysql/ddl/sample.py). Changes: the sample table. Cost: its rows, at the most
-- LIMIT. Locks: none on the live rows (READ COMMITTED, set before).
INSERT IGNORE INTO {{schema}}.{{table}} ({{columns}})
SELECT {{columns}} FROM {{from_schema}}.{{model}} FORCE INDEX (PRIMARY)
 WHERE {{key}} >= %s AND {{key}} < %s ORDER BY {{key}} LIMIT %s
