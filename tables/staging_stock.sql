-- What the warehouses report, as it arrives: late, twice, and out of order.
CREATE TABLE staging_stock (
  warehouse    STRING COMMENT 'The warehouse; part of the key',
  item         BIGINT COMMENT 'The item; part of the key',
  revision     BIGINT COMMENT 'The warehouse''s counter of changes to this item; the higher one is newer',
  quantity     INT    COMMENT 'Pieces in stock',
  note         STRING COMMENT 'Whatever the warehouse has to say',
  arrived_from STRING COMMENT 'The message that brought the row'
)
USING DELTA
TBLPROPERTIES ('delta.enableExpiredLogCleanup' = 'false')
