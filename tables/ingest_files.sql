-- What became of each file that was found: a row each time. The newest row of a path counts, by number and then by time.
-- Pipelines may share the table. `highwater bookmarks` shows and changes it.
CREATE TABLE ingest_files (
  pipeline     STRING    NOT NULL COMMENT 'Name of the pipeline',
  path         STRING    NOT NULL COMMENT 'Path of the file below the fixed folder of the pattern',
  size         BIGINT    NOT NULL COMMENT 'Bytes of the file as it was found',
  tag          STRING    NOT NULL COMMENT 'Entity tag of the store; of a local file the time of its last change',
  status       STRING    NOT NULL COMMENT 'loaded; failed: not readable, tried again; skipped or reset by a person',
  rows         BIGINT    NOT NULL COMMENT 'Rows that came into staging',
  corrupt_rows BIGINT    NOT NULL COMMENT 'Rows that could not be read; they are in ingest_corrupt',
  number       BIGINT    NOT NULL COMMENT 'Number of the ingest, counted from 1 in each pipeline; of a person''s row that of the last one before it',
  batch_id     STRING             COMMENT 'Id of the ingest: a hash of pipeline, number and files; NULL in a person''s row',
  staging_id   STRING    NOT NULL COMMENT 'Delta id of the staging table',
  error        STRING             COMMENT 'Why the file could not be read, or why a person skipped it',
  recorded_at  TIMESTAMP NOT NULL COMMENT 'When the ingest began, or a person decided, UTC'
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
