//! The pure core: what was observed goes in, the next step comes out. No I/O, no clock, nothing async.

pub mod batch_id;
mod case;
pub mod decide;
mod evolve;
pub mod groups;
mod identity;
mod ingest;
pub mod judge;
pub mod ledger;
pub mod load_spec;
mod mapped;
pub mod observation;
pub mod purge;
mod refuse;
pub mod request;
mod rollback;
pub mod rows;
pub mod step;
pub mod strategy;
mod undo;
pub mod verdict;
pub mod window;

pub use case::{Case, Decision};
pub use decide::decide;
pub use evolve::{
    CommittedSchema, EvolveSeen, EvolveStep, Wanted, Wishes, decide_evolve, schema_id, schema_row, wanted,
};
pub use ingest::{IngestSeen, IngestStep, Sorted, decide_ingest, ingest_id, newest_of_each, sort_files};
pub use judge::Circumstances;
pub use ledger::Ledger;
pub use load_spec::{LoadSpec, LoadedColumn, Rules};
pub use mapped::{Mapped, MappedField, Sql as MappedSql};
pub use observation::{Commit, Observation, OtherBatch, Past, TableState, Target, Written};
pub use request::{Accepted, Intent, Request, RollbackGoal};
pub use step::{Decided, End, LoadPlan, Look, Refusal, Step, Work};
pub use strategy::{Allowed, Chosen};
pub use verdict::{Cells, Staged, Terms, Verdict, settle};
