-- Counts archives that core:purge-old-archive-data calls outdated: done flag 2 (error or being
-- written), 6 (error, invalidated), and 3 (temporary) older than the first time given.
-- Rows written after the second time are left out: an archiver at work makes new ones.
-- Cost: scans one archive_numeric table, as the console command itself does. Locks: none.
SELECT COUNT(*)
  FROM {{table}}
 WHERE name LIKE 'done%%'
   AND (value IN (2, 6) OR (value = 3 AND ts_archived < %s))
   AND ts_archived < %s
