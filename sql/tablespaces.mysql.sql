-- Reads every InnoDB tablespace of one schema (names as schema/table, %s is a LIKE pattern): its
-- file, and the file's real size in bytes. Cost: a stat() per file: 0.2 s per 20,000.
-- Locks: none. Needs PROCESS.
SELECT s.NAME AS name, s.FILE_SIZE AS file_bytes, s.ALLOCATED_SIZE AS allocated_bytes,
       CONVERT(d.PATH USING utf8mb4) AS path
  FROM information_schema.INNODB_TABLESPACES s
  LEFT JOIN information_schema.INNODB_DATAFILES d ON d.SPACE = s.SPACE
 WHERE s.NAME LIKE %s
