-- Reads how many instant column changes one table has seen since it was last rebuilt (NAME is
-- schema/table; MySQL 8.0.29 and newer). Cost: one dictionary look. Locks: none. Needs PROCESS.
SELECT TOTAL_ROW_VERSIONS AS versions FROM information_schema.INNODB_TABLES WHERE NAME = %s
