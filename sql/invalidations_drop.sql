-- Drops one table for good. Cost: its file; on a big buffer pool some 100 ms. Locks: an exclusive
-- metadata lock on it: only under a short lock_wait_timeout.
DROP TABLE {{table}}
