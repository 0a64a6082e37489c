-- Ends the read view, and gives back its metadata locks. Changes nothing. Cost, locks: none.
COMMIT
