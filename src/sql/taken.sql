-- The rows that a batch takes, in the target's types.
SELECT {columns}
FROM (
  {sources}
) AS r
