//! Idempotent daily loads into Delta Lake tables.
//!
//! The way of a batch through the modules:
//!
//! 1. [`cli`] reads the command line, [`config`] the pipeline file; [`context`] opens the tables that it names.
//! 2. [`run`] is the loop: [`protocol::observe`] looks at the logs and record rows, [`plan::decide`] says the one
//!    next step, the run does it in one commit ([`protocol::write`]) onto the version that was looked at, and looks again.
//! 3. Of a batch that nobody began, that step is a load: [`stages`] read, dedupe, locate and gate the rows, each by SQL
//!    that [`engine`] runs; [`plan`] gives the verdict; [`lake`] merges what is new or newer, with the descriptor.
//! 4. The next steps follow from the descriptor alone: entries of the quarantine, the audit row, the watermark row.
//! 5. [`report`] tells what was done. A crash is a run that stopped in between; the next one goes on from what it sees.
//!
//! Which module may import which is in `ARCHITECTURE.md`, and held by a test.

#![forbid(unsafe_code)]

pub mod alerts;
pub mod attempts;
pub mod cases;
pub mod checks;
pub mod cli;
pub mod config;
pub mod context;
pub mod contract;
pub mod contracts;
pub mod demo;
pub mod doctor;
pub mod drift;
pub mod engine;
pub mod error;
pub mod events;
pub mod evolve;
pub mod fail_points;
mod failure;
pub mod fleet;
pub mod hooks;
pub mod ingest;
pub mod init;
pub mod lake;
pub mod model;
pub mod names;
pub mod notation;
mod patience;
pub mod plan;
pub mod preview;
pub mod protocol;
pub mod quarantine;
pub mod register;
pub mod report;
pub mod rollback;
pub mod run;
mod runner;
pub mod scaffold;
pub mod show;
pub mod spark;
pub mod stages;
pub mod status;
pub mod stop;
mod store;
