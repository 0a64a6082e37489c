-- Lets the server show how far a rebuild has come. Changes: a consumer of performance_schema for
-- the whole server, until it restarts; negligible cost. Locks: none.
UPDATE performance_schema.setup_consumers SET enabled = 'YES'
 WHERE name = 'events_stages_current' AND enabled = 'NO'
