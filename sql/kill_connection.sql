-- Ends another connection and rolls its transaction back (which may take as long as the
-- transaction did). Locks: none. Needs no privilege for the own account's.
KILL CONNECTION %s
