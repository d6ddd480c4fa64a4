//! The only user of DataFusion's session: SQL text in, record batches out.

mod any_type;
mod apart;
mod canonical;
mod checked;
mod computed;
mod cut;
mod expression;
mod functions;
mod json;
mod judge_sql;
mod known;
mod mask;
mod plain_text;
mod relation;
mod session;
mod slices;
pub mod sql;
mod threads;
mod types;
mod version_key;
mod words;

pub(crate) use any_type::VERSION_KEY;
pub use any_type::version_key_function;
pub use apart::{Failure, STACK};
pub use canonical::{nested_text_of, parts_within, unwritable};
pub use computed::Computed;
pub use expression::{Expression, as_timestamp};
pub use known::Known;
pub use mask::KEYED_HASH;
pub use session::{Engine, Rows};
pub(crate) use session::{failed, union};
pub use slices::{Slices, SlicesMade};
pub use threads::in_threads;
pub use types::{arrow_field, arrow_type, called, model_type, table_type};
pub use version_key::{ordered, version_key};
