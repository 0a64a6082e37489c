-- Reads how many rows this session's last statement changed. Cost, locks: none.
SELECT ROW_COUNT() AS changed
