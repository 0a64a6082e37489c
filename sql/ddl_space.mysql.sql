-- Reads the tablespace number of one table (NAME is schema/table): another one after a rebuild.
-- Cost: one dictionary look. Locks: none. Needs PROCESS.
SELECT SPACE AS space FROM information_schema.INNODB_TABLES WHERE NAME = %s
