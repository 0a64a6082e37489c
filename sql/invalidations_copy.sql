-- Copies one chunk of rows of a backup (frozen, so nobody waits for the read) into the live table,
-- those for which a condition (mysql/invalidations/keep.py, moving.py) holds. No IGNORE: it hides
-- errors. Cost: the chunk, by primary key. Locks: the rows it inserts; where
-- innodb_autoinc_lock_mode = 1 (MariaDB) other inserts wait until it ends.
INSERT INTO {{to}} ({{columns}})
SELECT {{values}}
  FROM {{from}}
 WHERE idinvalidation > %s AND idinvalidation <= %s AND {{condition}}
