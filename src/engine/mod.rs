//! The only user of DataFusion's session: SQL text in, record batches out.

mod any_type;
mod functions;
mod judge_sql;
mod session;
pub mod sql;
mod types;

pub use session::{Engine, Rows};
pub(crate) use session::{StorageError, failed, storage_error};
pub use types::model_type;
