-- Reads the statements that an archiver runs now: Matomo marks its log queries for the archiver
-- with a comment (SegmentQueryDecorator.php). Without PROCESS: this account's own, which is
-- Matomo's. Cost: a look at the process list. Locks: none.
SELECT ID AS id, HOST AS host, TIME AS seconds
  FROM information_schema.PROCESSLIST
 WHERE DB = DATABASE() AND ID <> CONNECTION_ID() AND INFO LIKE '%trigger = CronArchive%'
 ORDER BY TIME DESC
