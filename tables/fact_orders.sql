-- One row an order, its newest version. Log cleanup is left to maintenance, because the log entries are the
-- checkpoints; removed files and log entries stay for 30 days, so that a batch of that age can be rolled back.
CREATE TABLE fact_orders (
  order_id      INT           NOT NULL COMMENT 'The order''s key; one row each',
  customer_id   INT                    COMMENT 'The customer who ordered: dim_customer.customer_id',
  order_date    DATE                   COMMENT 'Calendar day of the order, UTC; the partition. A newer version may move the order to another day',
  updated_at    TIMESTAMP     NOT NULL COMMENT 'When the source last changed the order, UTC; only a later version replaces this row',
  total_amount  DECIMAL(10,2)          COMMENT 'Order total, in units of the shop''s currency, two decimals',
  load_batch_id STRING                 COMMENT 'The batch that wrote this version of the row: loads_audit.batch_id',
  loaded_at     TIMESTAMP              COMMENT 'Start of the run of that batch, UTC: loads_audit.run_start',
  row_hash      STRING                 COMMENT 'SHA-256 of the loaded columns but the version, hex; NULL in rows that another tool wrote, whose values are compared instead',
  PRIMARY KEY (order_id)
)
PARTITIONED BY (order_date)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false',
  'delta.deletedFileRetentionDuration' = 'interval 30 days',
  'delta.logRetentionDuration' = 'interval 30 days'
)
