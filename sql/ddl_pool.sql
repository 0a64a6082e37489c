-- Reads what decides how fast a table is rebuilt: the buffer pool's size, whether there is a
-- change buffer, and (MariaDB) whether a copy builds its indexes in bulk. Cost, locks: none.
SHOW GLOBAL VARIABLES
 WHERE Variable_name IN ('innodb_buffer_pool_size', 'innodb_alter_copy_bulk',
                         'innodb_change_buffering')
