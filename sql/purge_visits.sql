-- Deletes these visits, the last of their chunk. The form for several tables, because only that one
-- takes an index hint on both servers.
-- Cost: a dive a visit. Locks: those visits (X), until the chunk's end.
DELETE {{log_visit}} FROM {{log_visit}} FORCE INDEX (PRIMARY) WHERE {{log_visit}}.idvisit IN %s
