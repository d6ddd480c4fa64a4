//! Integration tests: real tables, real processes. One binary, because linking is slow.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed test is told by a panic, and a test binary has no outside"
)]

mod checks;
mod classes;
mod cli;
mod common;
mod crash;
mod ddl;
mod failures;
mod foreign;
mod gate;
mod groups;
mod kill;
mod layers;
mod load;
mod model;
mod names;
mod odd;
mod quarantined;
mod race;
mod race_gate;
mod recovery;
mod reference;
mod rejected;
mod rollback;
mod spelled;
mod sql;
