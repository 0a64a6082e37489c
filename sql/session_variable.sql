-- Sets one variable of this session. Changes: this session only. Cost: none. Locks: none.
SET SESSION {{variable}} = %s
