-- Reads which algorithm this server takes for an ALTER that names none. Cost, locks: none.
SELECT @@GLOBAL.alter_algorithm AS forced
