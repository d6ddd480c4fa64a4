-- One row a warehouse and item, its newest revision.
CREATE TABLE stock (
  warehouse     STRING NOT NULL COMMENT 'The warehouse; part of the key',
  item          BIGINT NOT NULL COMMENT 'The item; part of the key',
  revision      BIGINT NOT NULL COMMENT 'The warehouse''s counter of changes to this item; only a higher one replaces this row',
  quantity      BIGINT          COMMENT 'Pieces in stock',
  note          STRING          COMMENT 'Whatever the warehouse has to say',
  load_batch_id STRING          COMMENT 'The batch that wrote this revision: loads_audit.batch_id',
  loaded_at     TIMESTAMP       COMMENT 'Start of the run of that batch, UTC',
  row_hash      STRING          COMMENT 'SHA-256 of the loaded columns but the revision, hex',
  PRIMARY KEY (warehouse, item)
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false',
  'delta.deletedFileRetentionDuration' = 'interval 30 days',
  'delta.logRetentionDuration' = 'interval 30 days'
)
