//! The words of a load: batches, counts, descriptors, rows of the record tables. Values only.

pub mod batch;
pub mod check;
pub mod clock;
pub mod counts;
pub mod drift;
pub mod entry;
pub mod form;
pub mod ingest;
pub mod lane;
pub mod listed;
pub mod literal;
pub mod record;
pub mod sql;
pub mod strategy;
pub mod types;
pub mod watermark;

pub use batch::{BatchKind, Descriptor, Group, Pin, Pinned, Selection, Status, TablePin, Window};
pub use check::{Action, CheckResult, CheckVerdict};
pub use clock::Clock;
pub use counts::{Class, Counts, Memos, Ties};
pub use drift::{Alteration, Answer, Change, Drift, SchemaRecord};
pub use entry::{EntryStatus, Evidence, QuarantineWork, StatusChange};
pub use form::Form;
pub use ingest::{CorruptRow, FileRow, FileStatus, IngestRecord, RawFile};
pub use lane::Lane;
pub use listed::{ListFile, Listed};
pub use literal::{Dialect, Literal};
pub use record::{AttemptRow, AuditRow, Runner, WatermarkRow};
pub use strategy::Strategy;
pub use watermark::Watermark;
