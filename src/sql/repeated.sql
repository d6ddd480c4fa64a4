-- The values that more than one row has.
LEFT JOIN (
  SELECT {selected} FROM gated AS s
  WHERE {filled} AND (
{filter}
  )
  GROUP BY {grouped}
  HAVING COUNT(*) > 1
) AS {alias} ON {on}
