//! Integration tests: real tables, real processes. One binary, because linking is slow.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed test is told by a panic, and a test binary has no outside"
)]

mod attempts;
mod before;
mod bounds;
mod cases;
mod changes;
mod checks;
mod classes;
mod cli;
mod cli_json;
mod cli_text;
mod common;
mod counted;
mod crash;
mod crash_faults;
mod ddl;
mod drift;
mod extremes;
mod failures;
mod faults;
mod fleet;
mod foreign;
mod fuzz;
mod gate;
mod gateway;
mod golden;
mod groups;
mod history;
mod ingest;
mod judged;
mod kill;
mod layers;
mod lists;
mod load;
mod mapping;
mod meeting;
mod memory;
mod model;
mod names;
mod nested;
mod object_store;
mod odd;
mod pages;
mod person_sql;
mod project;
mod proxy;
mod purge;
mod quarantined;
mod race;
mod race_gate;
mod readme;
mod recovery;
mod reference;
mod rejected;
mod requests;
mod rollback;
mod scaffold;
mod spelled;
mod sql;
mod strategies;
mod versions;
mod volume;
mod wide;
