-- Begins a transaction of this session. Changes: nothing. Cost, locks: none.
START TRANSACTION
