-- Reads the server's settings that the preflight checks look at. Cost: none. Locks: none.
-- Needs no privilege. A name that a server does not know gives no row.
SHOW GLOBAL VARIABLES WHERE Variable_name IN (
  'datadir', 'tmpdir', 'innodb_tmpdir', 'innodb_buffer_pool_size', 'innodb_file_per_table',
  'version', 'version_comment', 'hostname', 'read_only', 'super_read_only', 'lower_case_table_names',
  'max_allowed_packet', 'log_bin', 'innodb_online_alter_log_max_size'
)
