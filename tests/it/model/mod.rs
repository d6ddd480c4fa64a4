//! The planner, explored: in-memory tables, runs taken apart into their reads and commits, and every order
//! in which these, crashes, lost answers and other writers can follow each other.
//!
//! What runs is the shipped protocol: `decide` and `settle`, and, behind the port (`table`), the observer, the loop's
//! turns and every commit with its stamp. Done again here, as small as can be, is what becomes of rows, and which commit a
//! piece of work comes to (`rows`, `effect`).
//!
//! Scenarios: `loads` finds sound tables, `keeps` is about the quarantine and rejected batches, `backs` about
//! rollbacks, `damage` about tables as no run leaves them; `sampled` draws ways where there are too many, and
//! `mutants` leaves out each case in turn.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy takes the helpers of integration tests for a program"
)]
#![expect(clippy::cast_possible_wrap, reason = "numbers of a few rows and versions")]

mod act;
mod actor;
mod backs;
mod check;
mod damage;
mod effect;
mod ends;
mod entries;
mod events;
mod explore;
mod keeps;
mod loads;
mod mutants;
mod rows;
mod sampled;
mod scenario;
mod start;
mod table;
mod world;
