//! The steps of a load: values in, values out. No stage calls another; [`run`](crate::run) passes the
//! values on.

pub mod dedupe;
pub mod gate;
pub mod locate;
pub mod merge;
pub mod read;
pub mod record;
pub mod rows;
pub mod text;
