//! The only user of Delta tables and object stores: opens them, reads their logs, commits onto them.

mod actions;
mod allowed;
mod alter;
mod append;
mod arranged;
mod bounds;
mod came;
mod changed_files;
mod commit;
mod create;
mod examine;
mod features;
mod file_id;
mod files;
mod footer;
mod gone;
mod kept;
mod layer;
mod lists;
mod log;
mod mapping;
mod merge;
mod names;
mod open;
mod pieces;
mod places;
mod port;
mod probe;
mod purge;
mod raw;
pub mod record;
mod replace;
mod table;
mod upkeep;
mod vectors;
mod verbatim;
mod whole;
mod write;
mod written;

pub use append::Appender;
pub use bounds::{Bounded, Bounds};
pub use came::{CameWith, RowsDigest};
pub use changed_files::Arrivals;
pub use create::create_table;
pub use examine::{TableFacts, Trial};
pub use file_id::FileId;
pub use merge::MergeSource;
pub use names::check_column_names;
pub use open::Lake;
pub use places::{Placed, PlacedScan, PlacedStream};
pub use port::{EntryFiles, WriteBy, WriteRows};
pub use raw::{Chunk, Corrupt, Fault, RawReader, inferred, own_columns};
pub use replace::{AsWritten, NewRows, Replacement};
pub use table::{FileSize, Table};
pub use write::mostly_distinct;
pub use written::Came;

/// The key in `commitInfo` under which the evidence of a rejection lies.
const EVIDENCE_KEY: &str = "highwater_evidence";

/// The key in `commitInfo` under which the mark of one attempt at the commit lies.
const ATTEMPT_KEY: &str = "highwater_attempt";

/// The key in `commitInfo` under which a descriptor lies.
const DESCRIPTOR_KEY: &str = "highwater";

/// The key in `commitInfo` under which the record of files brought into staging lies.
const INGEST_KEY: &str = "highwater_ingest";

/// The key in `commitInfo` under which the record of a change of columns lies.
const SCHEMA_KEY: &str = "highwater_schema";
