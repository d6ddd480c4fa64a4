-- What the gate counts: for each check, the rows examined, those that fail, and those of them that would be written.
SELECT
  {counts}
FROM (
{flagged}
) AS c
