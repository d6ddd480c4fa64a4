//! The pure core: what was observed goes in, the next step comes out. No I/O, no clock, nothing async.

pub mod batch_id;
pub mod decide;
pub mod groups;
mod identity;
pub mod judge;
pub mod ledger;
pub mod recipe;
mod refuse;
mod rollback;
pub mod rows;
pub mod seen;
pub mod settle;
pub mod step;
mod undo;
pub mod window;

pub use decide::decide;
pub use judge::{Circumstances, Measure};
pub use ledger::Ledger;
pub use recipe::{LoadedColumn, Recipe, Rules};
pub use seen::{Commit, Fact, OtherBatch, Past, Record, Seen, Written};
pub use settle::{Cells, Staged, Terms, Verdict, settle};
pub use step::{Accepted, Decided, End, Goal, Intent, LoadPlan, Refusal, RollbackGoal, Step};
