-- Reads how many statements run right now. Cost: none to speak of. Locks: none.
SHOW GLOBAL STATUS LIKE 'Threads_running'
