-- Reads when one visit ended. Cost: a dive. Locks: none.
SELECT visit_last_action_time FROM {{log_visit}} WHERE idvisit = %s
