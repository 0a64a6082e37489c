-- Refreshes the statistics of a sample table; not written to the binary log. Changes: the
-- statistics. Cost: some index dives. Locks: none that wait for DML.
ANALYZE NO_WRITE_TO_BINLOG TABLE {{schema}}.{{table}}
