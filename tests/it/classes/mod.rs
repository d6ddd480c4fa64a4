//! Row accounting as a property: whatever lies in staging and target, and whatever the pipeline file says, each
//! staged row is in exactly one class.
//!
//! [`generate`] draws cases from domains so small that every class is met often. [`oracle`] gives each staged row its
//! class in plain Rust, from the rules alone, with [`demand`] for the checks. [`memory`] holds the shipped stages
//! against it, [`tables`] the whole program on real tables.

mod case;
mod demand;
mod expect;
mod generate;
mod memory;
mod oracle;
mod tables;
