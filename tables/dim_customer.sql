-- The customers an order may name. The load reads this table to check that customers resolve, and never writes it.
CREATE TABLE dim_customer (
  customer_id INT  NOT NULL COMMENT 'The customer''s key; one row each',
  signup_date DATE          COMMENT 'Calendar day on which the customer signed up, UTC',
  PRIMARY KEY (customer_id)
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
