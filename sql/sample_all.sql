-- Counts and measures all rows of one small table, as sample_window does. Cost: reads the whole
-- table: only for tables below 128 MB. Locks: none (a consistent read).
SELECT COUNT(*) AS n, {{measures}} FROM {{table}}
