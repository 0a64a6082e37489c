-- Reads how far the rebuild (one at a time) has come and how full its row log is, each in
-- hundredths of a per cent. Cost: a walk of the status variables. Locks: none.
SELECT variable_name AS stage, CAST(variable_value AS SIGNED) AS done
  FROM information_schema.global_status
 WHERE variable_name IN ('INNODB_ONLINEDDL_PCT_PROGRESS', 'INNODB_ONLINEDDL_ROWLOG_PCT_USED')
