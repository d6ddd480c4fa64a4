-- Each deduped row with its class.
SELECT s.*,
  CASE
    WHEN NOT s.`__hw_found` THEN 'inserted'
    WHEN s.`__hw_t_version` IS NULL OR {version} > s.`__hw_t_version` THEN 'updated'
    WHEN {version} < s.`__hw_t_version` THEN 'stale'
    WHEN s.`__hw_hash` = s.`__hw_t_hash` OR c.`__hw_same` THEN 'unchanged'
    ELSE '{tie}'
  END AS `__hw_class`
FROM located AS s
LEFT JOIN compared AS c ON {on}
