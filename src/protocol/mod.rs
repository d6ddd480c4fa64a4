//! The protocol: look at a pipeline's tables, decide, do that one piece of work, and look again.
//!
//! Written against a port, [`TableLog`]: what it needs of a table. Behind it stand Delta tables in the program
//! ([`lake`](crate::lake)), and tables in memory in the model that explores all ways in which runs can meet.
//!
//! - [`observe`] looks, in the reverse order of writing, and makes an [`Observation`](crate::plan::Observation);
//! - [`course`] is the loop: what a run wants and remembers, what it does next, and how it ends;
//! - [`write`] holds every commit that a run makes, with its stamp.

pub mod course;
mod history;
mod look;
pub mod observe;
mod port;
mod stamp;
pub mod tables;
pub mod write;

pub use course::{Conclusion, Course, Next, Turn};
pub use look::look_until_stable;
pub use observe::{Observer, QUARANTINE, STAGING, Wanted};
pub use port::{Change, LogEntry, Note, Outcome, RecordRow, TableLog};
pub use stamp::{GROUPS, Recorded, Stamp};
pub use tables::{Role, Tables};
pub use write::Write;
