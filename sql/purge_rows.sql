-- Deletes the rows of one table that belong to these visits. The form for several tables, because
-- only that one takes an index hint on both servers: a long list must never become a full scan.
-- Cost: a dive a visit and the rows found. Locks: those rows (X), until the chunk's end.
DELETE {{table}} FROM {{table}} FORCE INDEX ({{index}}) WHERE {{table}}.idvisit IN %s
