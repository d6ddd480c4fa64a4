-- Every staged row with its place in its key: rank 1 is the latest version; a copy above 1 repeats a row
-- that is ranked above it. The order is total, so the order of files does not matter.
SELECT s.*,
  ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {order}) AS `__hw_rank`,
  FIRST_VALUE(s.{version}) OVER (PARTITION BY {key} ORDER BY {order}) AS `__hw_top`,
  ROW_NUMBER() OVER (PARTITION BY {key}, s.{version}, s.`__hw_hash` ORDER BY {order}) AS `__hw_copy`
FROM staged AS s
WHERE {complete}
