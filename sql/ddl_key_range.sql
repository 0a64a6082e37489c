-- Reads the smallest and the largest value of the primary key's first column. Cost: two index
-- dives. Locks: none (a consistent read).
SELECT MIN({{key}}) AS low, MAX({{key}}) AS high FROM {{schema}}.{{table}}
