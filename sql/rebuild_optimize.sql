-- Rebuilds one table by OPTIMIZE TABLE, which reports failures as rows, not as errors. Changes: the
-- table's file, and its statistics; written to the binary log. Cost and locks: as rebuild_online
-- for InnoDB; for MyISAM and Aria readers and writers wait for the whole run.
OPTIMIZE TABLE {{table}}
