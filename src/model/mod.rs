//! The words of a load: batches, counts, descriptors, rows of the record tables. Values only.

pub mod batch;
pub mod check;
pub mod clock;
pub mod counts;
pub mod record;
pub mod types;

pub use batch::{BatchKind, Descriptor, Group, Pin, Status, Window};
pub use check::{Action, CheckResult, CheckVerdict};
pub use clock::Clock;
pub use counts::{Class, Counts, Memos, Ties};
pub use record::{AuditRow, WatermarkRow};
