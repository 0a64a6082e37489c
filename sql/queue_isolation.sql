-- Reads how the server's transactions see each other (names that it does not know give no row).
-- Cost: none. Locks: none. Needs no privilege.
SHOW GLOBAL VARIABLES WHERE Variable_name IN (
  'innodb_snapshot_isolation', 'transaction_isolation', 'tx_isolation'
)
