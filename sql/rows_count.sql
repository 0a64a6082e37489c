-- Counts the rows of one (small) table. Cost: reads its primary key. Locks: none.
SELECT COUNT(*) FROM {{table}}
