-- Deletes rows of one table by their keys. The form for
-- several tables, because only that one takes an index hint on both servers.
-- Cost: a dive each. Locks: those rows (X), until the chunk's end.
DELETE {{table}} FROM {{table}} FORCE INDEX (PRIMARY) WHERE {{table}}.{{pk}} IN %s
