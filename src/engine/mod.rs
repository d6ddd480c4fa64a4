//! The only user of DataFusion's session: SQL text in, record batches out.

mod functions;
mod session;
pub mod sql;

pub use session::{Engine, Rows};
pub(crate) use session::{StorageError, failed, storage_error};
