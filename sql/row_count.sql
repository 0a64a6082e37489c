-- Reads how many rows the session's last statement changed. Cost: none. Locks: none.
SELECT ROW_COUNT()
