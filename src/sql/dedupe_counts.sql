-- How the dedupe splits the staged rows.
SELECT
  COUNT(*) AS `staged`,
  COUNT(CASE WHEN `__hw_rank` = 1 THEN 1 END) AS `deduped`,
  COUNT(CASE WHEN `__hw_rank` > 1 AND `__hw_copy` > 1 THEN 1 END) AS `duplicate`,
  COUNT(CASE WHEN `__hw_rank` > 1 AND `__hw_copy` = 1 THEN 1 END) AS `superseded`,
  COUNT(CASE WHEN `__hw_rank` > 1 AND `__hw_copy` = 1 AND {version} = `__hw_top` THEN 1 END) AS `tied`
FROM ranked
