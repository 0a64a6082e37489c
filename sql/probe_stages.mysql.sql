-- Asks whether the account may switch stage events on; changes no row. Refused with 1142 where
-- not. Cost, locks: none.
UPDATE performance_schema.setup_consumers SET ENABLED = ENABLED WHERE NAME = 'matops asks'
