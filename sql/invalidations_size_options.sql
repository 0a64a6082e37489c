-- Reads the names of the options whose names are like a pattern (%s), at most so many (%s). The
-- pattern begins with %: Matomo puts four random letters before the name.
-- Cost: reads the option table's index, as Matomo does itself. Locks: none.
SELECT option_name AS name FROM {{option}} WHERE option_name LIKE %s LIMIT %s
