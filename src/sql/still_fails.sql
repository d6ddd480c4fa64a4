-- Entries of rows that a load in effect kept out, and that still fail a check which keeps them out.
SELECT DISTINCT c.`__hw_known`
FROM (
{flagged}
) AS c
WHERE c.`__hw_status` = 'open' AND c.`__hw_by_load` AND {fails}
