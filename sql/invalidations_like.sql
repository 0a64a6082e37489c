-- Makes an empty table like archive_invalidations: same columns, keys, options. AUTO_INCREMENT,
-- triggers and foreign keys do not come with it. Cost: a new file. Locks: the source for reading
-- its definition, some milliseconds.
CREATE TABLE {{new}} LIKE {{table}}
