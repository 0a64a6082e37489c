-- Changes one site of the scratch database: it takes orders, and excludes nobody. Cost: one row.
-- Locks: that row, in the scratch database.
UPDATE {{site}}
   SET ecommerce = 1, excluded_ips = '', excluded_user_agents = '', exclude_unknown_urls = 0
 WHERE idsite = %s
