-- Deletes the rows of a table without idvisit that belong to these visits through another table.
-- Cost: two dives a visit, a dive a row of the table between. Locks: those rows (X), until the
-- chunk's end.
DELETE {{table}}
  FROM {{log_visit}} FORCE INDEX (PRIMARY)
       STRAIGHT_JOIN {{parent}} FORCE INDEX ({{parent_index}})
       ON {{parent}}.idvisit = {{log_visit}}.idvisit
       STRAIGHT_JOIN {{table}} FORCE INDEX ({{index}}) ON {{table}}.{{key}} = {{parent}}.{{key}}
 WHERE {{log_visit}}.idvisit IN %s
