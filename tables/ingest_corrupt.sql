-- Rows of files that could not be read as rows of staging, as they were written. Pipelines may share the table. Nothing
-- reads it but people: a file that was mended comes in again by itself.
CREATE TABLE ingest_corrupt (
  pipeline    STRING    NOT NULL COMMENT 'Name of the pipeline',
  source_file STRING    NOT NULL COMMENT 'Path of the file below the fixed folder of the pattern',
  source_row  BIGINT    NOT NULL COMMENT 'Line on which the row begins, from 1; in a Parquet file the row''s number',
  reason      STRING    NOT NULL COMMENT 'What is wrong with it',
  text        STRING    NOT NULL COMMENT 'The row as it was written, up to 8,000 characters',
  number      BIGINT    NOT NULL COMMENT 'Number of the ingest that met it',
  ingest_time TIMESTAMP NOT NULL COMMENT 'When that ingest began, UTC'
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
