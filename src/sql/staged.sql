-- The rows that a batch takes, in the target's types, each with its row hash.
SELECT *, {row_hash} AS `__hw_hash`
FROM (
{taken}
) AS r
