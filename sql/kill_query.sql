-- Cancels the statement that another connection runs; the connection stays. Changes: that
-- statement is undone. Cost: none. Locks: none. Needs no privilege for the own account's.
KILL QUERY %s
