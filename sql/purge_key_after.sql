-- Reads where a chunk of a table's own key ends: the key so many rows further on, or NULL.
-- Cost: so many entries of the primary key. Locks: none.
SELECT MAX(k) FROM (SELECT {{pk}} AS k FROM {{table}} FORCE INDEX (PRIMARY)
                     WHERE {{pk}} >= %s ORDER BY {{pk}} LIMIT %s) AS part
