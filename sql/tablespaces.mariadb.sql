-- Reads every InnoDB tablespace of one schema (names as schema/table, %s is a LIKE pattern) with
-- its file, and the file's real size in bytes. Cost: a stat() per file: 0.3 s per 20,000.
-- Locks: none. Needs PROCESS.
SELECT SPACE AS space, NAME AS name, FILE_SIZE AS file_bytes, FILENAME AS path
  FROM information_schema.INNODB_SYS_TABLESPACES
 WHERE NAME LIKE %s
