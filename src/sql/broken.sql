-- Rows that break a check which is more than a warning, and rows that the quarantine knows. In order, so that of rows
-- which share an entry the same one is kept in every run.
SELECT c.*, {broken} AS `__hw_broken`, {kept_out} AS `__hw_fails`
FROM (
{flagged}
) AS c
WHERE {broken} OR `__hw_known` IS NOT NULL
ORDER BY {order}
