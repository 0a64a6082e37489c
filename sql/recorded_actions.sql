-- One page of a site's recorded actions in a span of time, with what names them: visitor, page
-- view, the visit's (masked) address, URL, title or search word, event, content.
-- Reads: a range of index_idsite_servertime; then, for each row, its visit and its actions by
-- primary key. Cost: the rows of the span. Locks: none (a consistent read).
SELECT l.idlink_va AS id,
       TIMESTAMPDIFF(SECOND, '1970-01-01', l.server_time) AS moment,
       LOWER(HEX(l.idvisitor)) AS visitor,
       l.idpageview AS page_view,
       v.location_ip AS ip,
       url.type AS url_type,
       url.name AS url,
       title.type AS name_type,
       title.name AS name,
       category.name AS event_category,
       doing.name AS event_action,
       content.name AS content
  FROM {{link}} AS l
  LEFT JOIN {{visit}} AS v ON v.idvisit = l.idvisit
  LEFT JOIN {{action}} AS url ON url.idaction = l.idaction_url
  LEFT JOIN {{action}} AS title ON title.idaction = l.idaction_name
  LEFT JOIN {{action}} AS category ON category.idaction = l.idaction_event_category
  LEFT JOIN {{action}} AS doing ON doing.idaction = l.idaction_event_action
  LEFT JOIN {{action}} AS content ON content.idaction = l.idaction_content_name
 WHERE l.idsite = %s
   AND l.server_time >= FROM_UNIXTIME(%s) AND l.server_time <= FROM_UNIXTIME(%s)
   AND NOT (l.server_time = FROM_UNIXTIME(%s) AND l.idlink_va <= %s)
 ORDER BY l.server_time, l.idlink_va
 LIMIT 2000
