-- Reads the names of a schema's procedures and functions that this account may know of.
-- Cost: none to speak of. Locks: none.
SELECT ROUTINE_NAME AS name, LOWER(ROUTINE_TYPE) AS kind
  FROM information_schema.ROUTINES
 WHERE ROUTINE_SCHEMA = %s AND ROUTINE_TYPE IN ('PROCEDURE', 'FUNCTION')
 ORDER BY ROUTINE_NAME
