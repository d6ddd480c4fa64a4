//! How values are written in a pipeline file, and what is said where they are not.

pub mod bound;
mod fault;
mod mask;
mod null_keys;
mod one_or_many;
mod value;
mod version_order;

#[cfg(test)]
mod bound_tests;

pub(crate) use fault::Fault;
pub(crate) use fault::nearest;
pub use fault::{did_you_mean, near};
pub use mask::Mask;
pub use null_keys::NullKeys;
pub(crate) use one_or_many::OneOrMany;
pub use value::{Days, Limit, Percent, Threshold};
pub(crate) use value::{date, pattern, split_unit};
pub use version_order::{VersionColumn, VersionOrder};
