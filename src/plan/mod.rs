//! The pure core: what was observed goes in, the next step comes out. No I/O, no clock, nothing async.

pub mod batch_id;
pub mod decide;
pub mod groups;
pub mod ledger;
pub mod recipe;
mod refuse;
pub mod rows;
pub mod seen;
pub mod settle;
pub mod step;
pub mod window;

pub use decide::decide;
pub use ledger::Ledger;
pub use recipe::{LoadedColumn, Recipe, Rules};
pub use seen::{Commit, Fact, Record, Seen, Written};
pub use settle::{Cells, Staged, Verdict, settle};
pub use step::{End, Intent, LoadPlan, Refusal, Step};
