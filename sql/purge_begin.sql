-- Begins the transaction of one chunk. Changes nothing. Cost, locks: none.
START TRANSACTION
