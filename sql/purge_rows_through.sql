-- Deletes the rows of a table without idvisit that belong to these visits through another table.
-- Cost: a dive a visit, a dive a row of the table between. Locks: those rows (X; the other table's
-- shared), until the chunk's end.
DELETE {{table}}
  FROM {{parent}} FORCE INDEX ({{parent_index}})
       STRAIGHT_JOIN {{table}} FORCE INDEX ({{index}}) ON {{table}}.{{key}} = {{parent}}.{{key}}
 WHERE {{parent}}.idvisit IN %s
