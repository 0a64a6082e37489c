-- Reads which account of the server we are ('user@host pattern'). Cost: none. Locks: none.
SELECT CURRENT_USER()
