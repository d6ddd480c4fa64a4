-- Rows that a hash cannot settle: same version, and the hashes differ or the target has none.
SELECT {key}, {same} AS `__hw_same`
FROM {located} AS s
JOIN {target} AS t ON {on}
WHERE {version} = {their_version} AND NOT COALESCE(s.`__hw_hash` = t.{row_hash}, FALSE)
