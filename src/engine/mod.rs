//! The only user of DataFusion's session: SQL text in, record batches out.

mod functions;
mod session;
pub mod sql;

pub(crate) use session::failed;
pub use session::{Engine, Rows};
