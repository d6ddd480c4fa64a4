-- Runs that ended in a failure: a row each, where it could be written. No load reads it or depends on it; `status`
-- shows the latest rows, and old ones may be deleted at any time.
CREATE TABLE loads_attempts (
  attempted_at TIMESTAMP NOT NULL COMMENT 'When the run failed, UTC',
  pipeline     STRING    NOT NULL COMMENT 'Name of the pipeline',
  command      STRING    NOT NULL COMMENT 'run, rollback or quarantine replay',
  as_of        DATE               COMMENT 'Logical date of the run, UTC',
  exit_status  INT       NOT NULL COMMENT '2 usage or config, 3 try again later, 4 needs a person, 70 a bug',
  message      STRING             COMMENT 'What went wrong, without secrets',
  job_id       STRING             COMMENT 'AWS Batch: the job''s id; NULL elsewhere',
  job_attempt  STRING             COMMENT 'AWS Batch: the number of the job''s attempt; NULL elsewhere',
  ecs_task     STRING             COMMENT 'Amazon ECS: the task and container, as the address of its metadata names them; NULL elsewhere'
)
USING DELTA
TBLPROPERTIES (
  'delta.enableExpiredLogCleanup' = 'false'
)
