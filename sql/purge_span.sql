-- Deletes the rows of one table that belong to these visits, whose numbers lie close together: one
-- range of the index by idvisit instead of a dive for each. "+ 0" keeps the list from being taken
-- for ranges of its own. The form for several tables takes the index hint on both servers.
-- Cost: that range. Locks: those rows (X), until the chunk's end; rows of other visits in the range
-- only while they are looked at (READ COMMITTED).
DELETE {{table}} FROM {{table}} FORCE INDEX ({{index}})
 WHERE {{table}}.idvisit BETWEEN %s AND %s AND {{table}}.idvisit + 0 IN %s
