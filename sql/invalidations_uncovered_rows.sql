-- Reads which archives the rows of the queue will rebuild: of some sites, with a first day in a
-- span of days. A row for one report alone rebuilds no archive. /*sites*/ is a list of bound
-- values; /*and*/ is a further condition of ours that says which rows count as there.
-- Cost: that part of the index (idsite, date1, period), and its rows. Locks: none.
SELECT DISTINCT idsite AS idsite, period AS period, CAST(date1 AS CHAR) AS date1,
       CAST(date2 AS CHAR) AS date2, name AS name
  FROM {{table}}
 WHERE idsite IN (/*sites*/) AND date1 BETWEEN %s AND %s
   AND (report IS NULL OR report = '')/*and*/
