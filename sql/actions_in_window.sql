-- Counts one site's actions (page views, events, downloads, …) of [start, end), UTC.
-- Cost: that range of index_idsite_servertime. Locks: none.
SELECT COUNT(*) FROM {{log_link_visit_action}}
 WHERE idsite = %s AND server_time >= %s AND server_time < %s
