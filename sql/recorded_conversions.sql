-- A site's conversions (goals, orders, carts) in a span of time, with what names them.
-- Reads: a range of index_idsite_datetime; for each row its visit by primary key.
-- Cost: the conversions of the span. Locks: none.
SELECT c.idvisit AS visit, c.idgoal AS goal, c.buster AS buster,
       TIMESTAMPDIFF(SECOND, '1970-01-01', c.server_time) AS moment,
       LOWER(HEX(c.idvisitor)) AS visitor,
       v.location_ip AS ip,
       COALESCE(c.idorder, '') AS idorder
  FROM {{conversion}} AS c
  LEFT JOIN {{visit}} AS v ON v.idvisit = c.idvisit
 WHERE c.idsite = %s
   AND c.server_time >= FROM_UNIXTIME(%s) AND c.server_time <= FROM_UNIXTIME(%s)
 ORDER BY c.server_time
