-- What the source systems deliver, as delivered: rows repeat, arrive late and may lack values, so every column may be
-- NULL here, and the load decides what becomes of such a row.
CREATE TABLE staging_orders (
  order_id     INT           COMMENT 'The order''s key; delivered more than once when an order changes or is sent again',
  customer_id  INT           COMMENT 'The customer who ordered; may name a customer that dim_customer does not have yet',
  order_date   DATE          COMMENT 'Calendar day of the order, UTC; the incremental column, and the partition in the target',
  updated_at   TIMESTAMP     COMMENT 'When the source last changed the order, UTC; the version: of two rows the later one counts',
  total_amount DECIMAL(10,2) COMMENT 'Order total, in units of the shop''s currency, two decimals',
  source_file  STRING        COMMENT 'Name of the delivered file that the row came in; lineage, neither loaded nor hashed',
  ingest_time  TIMESTAMP     COMMENT 'When the row was written to this table, UTC; lineage, and the first tie-breaker'
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false',
  'delta.checkpointInterval' = '10'
)
