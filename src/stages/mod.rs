//! The steps of a load: values in, values out. No stage calls another; [`run`](crate::run) passes the
//! values on.

pub mod check_bind;
pub mod check_text;
pub mod dedupe;
pub mod foreign_rows;
pub mod gate;
pub mod keys;
pub mod locate;
pub mod mapping;
pub mod merge;
pub mod nested;
pub mod quarantine;
pub mod read;
pub mod replace;
pub mod row_hash;
pub mod rows;
pub mod selection;
pub mod text;
