-- An aggregate over the rows of the batch, and whether it is out of bounds.
SELECT CAST(`value` AS STRING) AS `text`, COALESCE({out}, FALSE) AS `out`, `examined`
FROM (
  SELECT
{aggregate}
    AS `value`, COUNT(*) AS `examined`
  FROM gated AS s
  WHERE (
{filter}
  )
) AS a
