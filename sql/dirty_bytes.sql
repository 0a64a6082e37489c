-- Reads how much of the buffer pool is changed and not yet written to the files.
-- Cost: none to speak of. Locks: none. Needs no privilege.
SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_bytes_dirty'
