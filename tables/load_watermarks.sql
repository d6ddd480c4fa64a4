-- One row a numbered batch, appended last: with this row a batch counts as done. The row with the highest sequence of
-- a pipeline has its live watermark.
CREATE TABLE load_watermarks (
  pipeline   STRING    NOT NULL COMMENT 'Name of the pipeline: the appId of the entries in the tables'' logs',
  sequence   BIGINT    NOT NULL COMMENT 'The batch''s number in its pipeline, from 1',
  batch_id   STRING    NOT NULL COMMENT 'The batch: loads_audit.batch_id',
  as_of      DATE      NOT NULL COMMENT 'Logical date of the batch, UTC',
  watermark  DATE               COMMENT 'The live watermark after this batch: the highest own value of the loads in effect; NULL without a watermark column',
  own        DATE               COMMENT 'This load''s own value, on which later windows are anchored; NULL where the batch has none',
  updated_at TIMESTAMP NOT NULL COMMENT 'The time in the commit that decided the batch, UTC',
  PRIMARY KEY (pipeline, sequence)
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
