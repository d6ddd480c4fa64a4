-- The rows that a batch takes, in the target's types, each with its row hash.
SELECT *, sha2({hash_text}, 256) AS `__hw_hash`
FROM (
  SELECT {columns}
  FROM (
    {sources}
  ) AS r
) AS r
