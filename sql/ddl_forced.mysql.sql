-- Reads whether this server copies for every ALTER that names no algorithm. Cost, locks: none.
SELECT @@GLOBAL.old_alter_table AS forced
