-- The latest version of each key.
SELECT {columns}, `__hw_hash`
FROM ranked
WHERE `__hw_rank` = 1
