-- Deletes the rows of one table that belong to these visits, visit by visit: with the list itself as
-- the condition a server may go through the whole table instead, and meet the tracker's locks.
-- Cost: two dives a visit and the rows found. Locks: those rows (X), until the chunk's end.
DELETE {{table}}
  FROM {{log_visit}} FORCE INDEX (PRIMARY)
       STRAIGHT_JOIN {{table}} FORCE INDEX ({{index}}) ON {{table}}.idvisit = {{log_visit}}.idvisit
 WHERE {{log_visit}}.idvisit IN %s
