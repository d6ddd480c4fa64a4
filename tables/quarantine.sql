-- What the quarantine adds to the columns of the staging table, which come first, as they were. One row an entry: a
-- row that a check kept out of the target, whatever checks it broke and however often it is met. Its name is the
-- target's with `_bad`, unless the pipeline file says otherwise; pipelines may share it.
CREATE TABLE quarantine (
  dq_entry_id       STRING    NOT NULL COMMENT 'Hash of pipeline, key, version and row hash: the entry''s key',
  dq_pipeline       STRING    NOT NULL COMMENT 'Name of the pipeline that kept the row out',
  dq_batch_id       STRING    NOT NULL COMMENT 'The batch that met the row first: loads_audit.batch_id; of a rejected batch, the id of its rejection',
  dq_quarantined_at TIMESTAMP NOT NULL COMMENT 'Start of that batch''s run, UTC',
  dq_row_hash       STRING    NOT NULL COMMENT 'SHA-256 of the loaded columns but the version, hex',
  dq_errors         ARRAY<STRUCT<`check`: STRING, `column`: STRING, message: STRING, value: STRING>>
                                       COMMENT 'The checks that the row broke: name, column, what it demands, the value that was found',
  dq_status         STRING    NOT NULL COMMENT 'open; replayed: it passed later and was loaded; stale: a replay found something newer in the target; discarded: a person decided that it stays out',
  dq_resolution     STRING             COMMENT 'The batch that closed the entry, or the reason for which it was discarded; NULL while it is open',
  dq_resolved_at    TIMESTAMP          COMMENT 'Start of that batch''s run, or the time at which it was discarded, UTC; NULL while it is open',
  PRIMARY KEY (dq_entry_id)
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
