-- Gives a named lock back. Changes: nothing stored. Cost, locks: none.
SELECT RELEASE_LOCK(%s)
