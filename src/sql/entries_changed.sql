-- Every entry of the files that hold an entry to be changed, as it will be.
SELECT {columns},
  CASE WHEN k.`__hw_id` IS NOT NULL THEN $batch ELSE q.`dq_batch_id` END AS `dq_batch_id`,
  CASE WHEN c.`__hw_id` IS NOT NULL THEN c.`__hw_to` WHEN {reopened} THEN 'open' ELSE q.`dq_status` END AS `dq_status`,
  CASE WHEN c.`__hw_id` IS NOT NULL THEN c.`__hw_by` WHEN {reopened} THEN NULL ELSE q.`dq_resolution` END
    AS `dq_resolution`,
  CASE
    WHEN c.`__hw_id` IS NOT NULL THEN CASE WHEN c.`__hw_to` = 'open' THEN NULL ELSE $at END
    WHEN {reopened} THEN NULL
    ELSE q.`dq_resolved_at`
  END AS `dq_resolved_at`,
  q.`__hw_file`
FROM quarantine AS q
LEFT JOIN changes AS c ON q.`dq_entry_id` = c.`__hw_id`
LEFT JOIN claims AS k ON q.`dq_entry_id` = k.`__hw_id`
WHERE q.`__hw_file` IN (
  SELECT DISTINCT q.`__hw_file` FROM quarantine AS q LEFT JOIN changes AS c ON q.`dq_entry_id` = c.`__hw_id`
  LEFT JOIN claims AS k ON q.`dq_entry_id` = k.`__hw_id`
  WHERE c.`__hw_id` IS NOT NULL OR k.`__hw_id` IS NOT NULL OR {reopened}
)
