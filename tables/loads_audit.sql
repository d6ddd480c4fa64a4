-- One row a batch, written after the target's commit (or, for a rejection, instead of it). Every staged row is in
-- exactly one class, and the classes add up:
--   staged  = duplicate + superseded + deduped
--   deduped = inserted + updated + stale + unchanged + tied + quarantined + rejected + deleted
-- Counts are BIGINT: a backfill may count more rows than INT holds.
CREATE TABLE loads_audit (
  batch_id            STRING    NOT NULL COMMENT 'Hash of the batch''s inputs, kind, logical date and settings: the same batch has the same id on any machine',
  run_start           TIMESTAMP          COMMENT 'The batch''s one clock reading, UTC; also loaded_at of the rows it wrote',
  run_end             TIMESTAMP          COMMENT 'The time in the commit that decided the batch, UTC',
  watermark_from      DATE               COMMENT 'First day of the window, included; NULL without a watermark column',
  watermark_to        DATE               COMMENT 'Last day of the window, included: the logical date; NULL without a watermark column',
  staged_rows         BIGINT             COMMENT 'Rows read from staging for this batch',
  deduped_rows        BIGINT             COMMENT 'Rows left after the dedupe: one a key',
  inserted_rows       BIGINT             COMMENT 'Rows whose key was not in the target',
  updated_rows        BIGINT             COMMENT 'Rows that replaced an older version in the target, or a tie by the rule replace_if_different',
  dq_errors           BIGINT             COMMENT 'Distinct rows that broke a check whose action is not warn',
  status              STRING    NOT NULL COMMENT 'What became of the batch: loaded, rejected, rolled_back, failed, abandoned, or evolved (the target''s columns were changed)',
  pipeline            STRING    NOT NULL COMMENT 'Name of the pipeline: the appId of the entries in the tables'' logs',
  kind                STRING    NOT NULL COMMENT 'load, backfill, replay, rollback or schema',
  sequence            BIGINT             COMMENT 'The batch''s number in its pipeline, from 1; NULL for a rejection or a change of columns, which take none',
  as_of               DATE      NOT NULL COMMENT 'Logical date of the batch, UTC',
  duplicate_rows      BIGINT             COMMENT 'Staged rows with the key, version and values of a row ranked above them',
  superseded_rows     BIGINT             COMMENT 'Other staged rows that lost the dedupe to a row of their key',
  stale_rows          BIGINT             COMMENT 'Rows older than the target''s version; not loaded',
  unchanged_rows      BIGINT             COMMENT 'Rows with the target''s version and the target''s values',
  tied_rows           BIGINT             COMMENT 'Rows with the target''s version and other values, where the target''s row was kept',
  quarantined_rows    BIGINT             COMMENT 'Rows kept out by a row-level check, and kept in the quarantine',
  rejected_rows       BIGINT             COMMENT 'Rows of a batch that the gate refused, apart from those in the quarantine',
  deleted_rows        BIGINT             COMMENT 'Rows that deleted their key from the target',
  late_rows           BIGINT             COMMENT 'Memo: rows below the window that arrived since the last batch; taken with late: load, else only counted',
  future_rows         BIGINT             COMMENT 'Memo: rows above the window, left for a later batch; not among the staged rows',
  history_rows        BIGINT             COMMENT 'Memo: rows before the start of a first batch, neither late nor among the staged rows',
  filtered_rows       BIGINT             COMMENT 'Memo: rows that would have been taken, and do not meet source.where; not among the staged rows',
  ties_in_batch_rows  BIGINT             COMMENT 'Memo: staged rows that lost to a row of the same key and version with other values',
  ties_kept_rows      BIGINT             COMMENT 'Memo: ties with the target in which the target''s row was kept',
  ties_replaced_rows  BIGINT             COMMENT 'Memo: ties with the target in which the staged row replaced it',
  watermark           DATE               COMMENT 'The load''s own watermark: the latest day it let through, not past as_of, less the lag',
  config_digest       STRING             COMMENT 'SHA-256 of what in the resolved config can change the result, hex',
  target_id           STRING             COMMENT 'Delta table id of the target',
  fact_version_before BIGINT             COMMENT 'Delta version of the target that the batch was decided on',
  fact_version_after  BIGINT             COMMENT 'Delta version of the target with the batch''s last commit; NULL where it made none',
  inputs              ARRAY<STRUCT<name: STRING, table_id: STRING, version: BIGINT, data_version: BIGINT>>
                                         COMMENT 'The tables read, pinned: name, Delta table id, version read, newest version that changed data',
  checks              ARRAY<STRUCT<name: STRING, `column`: STRING, action: STRING, examined: BIGINT, failed: BIGINT, percent: DOUBLE, threshold: STRING, verdict: STRING, examples: ARRAY<STRING>, value: STRING>>
                                         COMMENT 'The checks'' results: rows examined and failed, failed in percent of examined, the threshold it was judged by, the verdict, keys of some failed rows, the value of a check that judges one',
  drift               ARRAY<STRUCT<change: STRING, `column`: STRING, staging: STRING, target: STRING, answer: STRING>>
                                         COMMENT 'In what the batch''s columns differed from the target''s, and what was done about it; mostly empty',
  undone              ARRAY<STRING>      COMMENT 'Of a rollback: the ids of the batches it undid; such batches are no longer in effect',
  reason              STRING             COMMENT 'Why the batch was rejected, rolled back, failed or abandoned, or which checks a person accepted for it and why; NULL for any other load',
  runner              STRUCT<job_id: STRING, job_attempt: STRING, job_array_index: STRING, ecs_task: STRING>
                                         COMMENT 'The job that wrote this row: AWS Batch''s id, attempt and array index, the ARN of the ECS task; NULL elsewhere',
  format              INT                COMMENT 'Which columns a reader must know; NULL counts as 1',
  features            ARRAY<STRING>      COMMENT 'Names of what a reader must know of to act on the row, beyond its format; mostly empty',
  PRIMARY KEY (batch_id)
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
