-- Counts the replicas that read this server's binary log now. Needs PROCESS (else only our own
-- account's connections are seen). Cost: a look at the process list. Locks: none.
SELECT COUNT(*) FROM information_schema.processlist WHERE COMMAND LIKE 'Binlog Dump%'
