-- Reads how many pages InnoDB has read from disk since its start, for everybody. Cost: none to
-- speak of. Locks: none. Needs no privilege.
SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_reads'
