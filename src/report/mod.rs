//! What people and programs read: text, JSON, and progress on a terminal.

pub mod columns;
pub mod contract;
pub mod doctor;
pub mod emf;
pub mod excerpt;
pub mod files;
pub mod fleet;
pub mod gate;
mod grid;
pub mod json;
pub mod look;
pub mod plain;
pub mod progress;
pub mod schema;
pub mod tables;
pub mod text;
mod writing;
