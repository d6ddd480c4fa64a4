-- Rows at the target's version that have its row hash too: they are the target's.
SELECT {key}, TRUE AS `__hw_same`
FROM level AS s
JOIN {target} AS t ON {on}
WHERE s.`__hw_hash` = t.{row_hash}
