-- The pipeline's entries: id, status, what a row is told by, and whether a load in effect kept the row out.
SELECT q.`dq_entry_id` AS `__hw_known`, q.`dq_status` AS `__hw_status`, q.`dq_row_hash` AS `__hw_known_hash`,
  CAST(q.{version} AS {version_type}) AS `__hw_known_version`, {undated} AS `__hw_known_undated`,
  b.`__hw_batch` IS NOT NULL AS `__hw_by_load`
FROM quarantine AS q
LEFT JOIN in_effect AS b ON q.`dq_batch_id` = b.`__hw_batch`
WHERE q.`dq_pipeline` = $pipeline
