-- How the dedupe splits the staged rows. Of rows with one key, version and row hash, all but the one that ranks
-- highest are duplicates of it.
SELECT
  COALESCE(SUM(c.`n`), 0) AS `staged`,
  COUNT(CASE WHEN c.`__hw_highest` = 1 THEN 1 END) AS `deduped`,
  COALESCE(SUM(c.`n` - 1), 0) AS `duplicate`,
  COUNT(CASE WHEN c.`__hw_highest` > 1 THEN 1 END) AS `superseded`,
  COUNT(CASE WHEN c.`__hw_highest` > 1 AND c.`__hw_newest` THEN 1 END) AS `tied`
FROM (
  SELECT COUNT(*) AS `n`, MIN(s.`__hw_rank`) AS `__hw_highest`, {version} = MIN(s.`__hw_top`) AS `__hw_newest`
  FROM ranked AS s
  GROUP BY {key}, {version}, s.`__hw_hash`
) AS c
