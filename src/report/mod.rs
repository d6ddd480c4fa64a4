//! What people and programs read: text, JSON, and progress on a terminal.

pub mod gate;
pub mod json;
pub mod progress;
pub mod text;
