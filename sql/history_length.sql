-- Reads the history list length: transactions (not rows) whose deletes purge has not yet removed.
-- Cost: some milliseconds. Locks: none. Needs PROCESS.
SELECT COUNT AS history FROM information_schema.innodb_metrics WHERE NAME = 'trx_rseg_history_len'
