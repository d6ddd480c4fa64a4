//! Idempotent daily loads into Delta Lake tables.
//!
//! A load reads a noisy staging table, keeps the latest version of each key, merges it into a target, and
//! records what it did, so that a rerun changes nothing and a crash at any instant loses and doubles nothing.
//! The modules below are listed from the top layer down to the bottom one; each imports only from those
//! above it in `ARCHITECTURE.md`.

pub mod attempts;
pub mod cli;
pub mod config;
pub mod contract;
pub mod demo;
pub mod engine;
pub mod error;
mod failure;
pub mod hooks;
pub mod init;
pub mod lake;
pub mod model;
pub mod names;
pub mod observe;
pub mod open;
mod patience;
pub mod plan;
pub mod preview;
pub mod quarantine;
pub mod report;
pub mod rollback;
pub mod run;
pub mod show;
pub mod spark;
pub mod stages;
pub mod status;
