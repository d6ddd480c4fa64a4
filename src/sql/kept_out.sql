-- The located rows, with those that are kept out in a class of their own.
SELECT {columns},
  CASE
    WHEN k.`__hw_known_hash` IS NOT NULL AND s.`__hw_class` IN ('inserted', 'updated') THEN 'quarantined'
    ELSE s.`__hw_class`
  END AS `__hw_class`
FROM classified AS s
LEFT JOIN kept AS k ON k.`__hw_known_hash` = s.`__hw_hash` AND k.`__hw_known_version` = s.{version}
