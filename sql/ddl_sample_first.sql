-- Copies the first rows of a table whose primary key is no number into a sample table in a scratch
-- schema. Changes: the sample table. Cost: its rows, at the most LIMIT. Locks: none on the live
-- rows (READ COMMITTED, set before).
INSERT IGNORE INTO {{schema}}.{{table}} ({{columns}})
SELECT {{columns}} FROM {{from_schema}}.{{model}} LIMIT %s
