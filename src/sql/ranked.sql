-- Every staged row with its place in its key: rank 1 is the latest version. The order is total, so the order of
-- files does not matter.
SELECT s.*,
  ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {order}) AS `__hw_rank`,
  FIRST_VALUE({version}) OVER (PARTITION BY {key} ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS `__hw_top`
FROM staged AS s
WHERE {complete}
