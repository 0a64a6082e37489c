-- Creates the scratch database with the live one's defaults. Changes: a new, empty schema.
-- Cost: none. Locks: none on other schemas. Replicated like any statement.
CREATE DATABASE {{scratch}} CHARACTER SET {{charset}} COLLATE {{collation}}
