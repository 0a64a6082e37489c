-- Reads a checksum of a small table's rows. Cost: reads all its rows. Locks: none that wait for DML.
CHECKSUM TABLE {{table}}
