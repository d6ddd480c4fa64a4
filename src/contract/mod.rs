//! Table contracts: what the tables under `tables/` promise, and whether an existing table keeps it.
//!
//! The DDL files are the only source of the schemas. They are compiled in, so that a binary can make its tables
//! wherever it runs.

pub mod avro_schema;
pub mod compatibility;
pub mod ddl;
pub mod differences;
pub mod odcs;
mod odcs_values;
mod parse;
pub mod quarantine;
mod render;
pub mod schema_json;
mod sql_types;
pub mod target;
#[cfg(test)]
mod tests;
pub mod widening;

/// DDL of the reference pipeline's staging table.
pub const STAGING_ORDERS: &str = include_str!("../../tables/staging_orders.sql");

/// DDL of the reference pipeline's target.
pub const FACT_ORDERS: &str = include_str!("../../tables/fact_orders.sql");

/// DDL of the reference pipeline's dimension.
pub const DIM_CUSTOMER: &str = include_str!("../../tables/dim_customer.sql");

/// DDL of the audit table: one row a batch.
pub const LOADS_AUDIT: &str = include_str!("../../tables/loads_audit.sql");

/// DDL of the table of attempts: one row a failed run.
pub const LOADS_ATTEMPTS: &str = include_str!("../../tables/loads_attempts.sql");

/// Columns of the audit table that a table made by an earlier version lacks. They may be NULL, and a load goes on
/// without them.
pub const LATER_AUDIT_COLUMNS: &[&str] =
    &["history_rows", "filtered_rows", "format", "features", "runner", "drift"];

/// DDL of the watermark table: one row a numbered batch.
pub const LOAD_WATERMARKS: &str = include_str!("../../tables/load_watermarks.sql");

/// DDL of the ledger of files: a row for each time that one was found.
pub const INGEST_FILES: &str = include_str!("../../tables/ingest_files.sql");

/// DDL of the table of rows that could not be read.
pub const INGEST_CORRUPT: &str = include_str!("../../tables/ingest_corrupt.sql");
