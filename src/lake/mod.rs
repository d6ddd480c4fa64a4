//! The only user of Delta tables and object stores: opens them, reads their logs, commits onto them.

mod actions;
mod changed_files;
mod commit;
mod create;
mod features;
mod file_id;
mod files;
mod footer;
mod kept;
mod log;
mod mapping;
mod merge;
mod names;
mod open;
mod table;
mod upkeep;
mod verbatim;
mod whole;
mod written;

pub use changed_files::Arrivals;
pub use commit::{Outcome, Stamp};
pub use create::create_table;
pub use file_id::FileId;
pub use log::{newer, newest_data_version};
pub use merge::MergeSource;
pub use names::check_column_names;
pub use open::Lake;
pub use table::{FileSize, Table};

/// The appId of a pipeline's group commits. Names cannot contain `/`, so it collides with no pipeline.
#[must_use]
pub fn group_app(pipeline: &str) -> String {
    format!("{pipeline}/group")
}

/// The appId of a pipeline's rejections.
#[must_use]
pub fn rejected_app(pipeline: &str) -> String {
    format!("{pipeline}/rejected")
}

/// The appId of a pipeline's rejections that leave rows behind for the quarantine with this Delta id, in the audit table
/// and there.
#[must_use]
pub fn evidence_app(pipeline: &str, quarantine_id: &str) -> String {
    format!("{}/{quarantine_id}", old_evidence_app(pipeline))
}

/// The same as it was before there was a count for each quarantine.
#[must_use]
pub fn old_evidence_app(pipeline: &str) -> String {
    format!("{pipeline}/evidence")
}

/// The key in `commitInfo` under which the evidence of a rejection lies.
pub const EVIDENCE_KEY: &str = "highwater_evidence";

/// The key in `commitInfo` under which the mark of one attempt at the commit lies.
const ATTEMPT_KEY: &str = "highwater_attempt";

/// The key in `commitInfo` under which a descriptor lies.
pub const DESCRIPTOR_KEY: &str = "highwater";

/// Groups of one batch have `txn` versions from `sequence * GROUPS` on.
pub const GROUPS: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use object_store::aws::AmazonS3ConfigKey;

    use crate::config::of_s3;

    #[test]
    fn every_option_that_the_config_knows_is_one_that_the_store_reads() {
        for name in of_s3() {
            assert!(AmazonS3ConfigKey::from_str(&name).is_ok(), "{name}");
        }
    }
}
