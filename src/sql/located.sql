-- Each deduped row beside the version, hash and partition of the target's row with its key.
SELECT s.*,
  {found} IS NOT NULL AS `__hw_found`,
  {their_version} AS `__hw_t_version`,
  {target_hash} AS `__hw_t_hash`{target_parts}
FROM deduped AS s
LEFT JOIN {target} AS t ON {on}
