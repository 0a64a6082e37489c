-- Counts the rows for which a condition holds (mysql/invalidations/keep.py), and all.
-- Cost: reads the whole table: about a second per two million rows. Locks: none.
SELECT COUNT(*) AS all_rows, COALESCE(SUM({{condition}}), 0) AS matching FROM {{table}}
