//! What a commit says of itself: `txn` entries, which are the checkpoints, and a record in `commitInfo`.

use crate::model::{Descriptor, Evidence};

/// Groups of one batch have `txn` versions from `sequence * GROUPS` on.
pub const GROUPS: i64 = 1_000_000;

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

/// The `txn` entries and the record of a commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stamp {
    /// Each `appId` with the number that the commit carries.
    pub txn: Vec<(String, i64)>,
    /// What goes into `commitInfo`.
    pub recorded: Option<Recorded>,
}

/// A record in a commit's `commitInfo`.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// A batch, in a commit to the target.
    Batch(Box<Descriptor>),
    /// A rejection that leaves rows behind, in a commit to the audit table.
    Rejection(Box<Evidence>),
}

impl Stamp {
    /// A record table's stamp: the batch's number.
    #[must_use]
    pub fn number(app: &str, sequence: i64) -> Self {
        Self { txn: vec![(app.to_owned(), sequence)], recorded: None }
    }

    /// The audit table's stamp of a rejection, with the rows that it leaves behind, if any.
    #[must_use]
    pub fn reject(pipeline: &str, number: i64, evidence: Option<Evidence>) -> Self {
        let mut txn = vec![(rejected_app(pipeline), number)];
        txn.extend(evidence.as_ref().map(|left| (evidence_app(pipeline, &left.quarantine_id), number)));
        Self { txn, recorded: evidence.map(|evidence| Recorded::Rejection(Box::new(evidence))) }
    }

    /// The target's stamp: the descriptor, with the batch's number if this commit completes the batch,
    /// and the group's own number if there are groups.
    #[must_use]
    pub fn describe(descriptor: Descriptor) -> Self {
        let mut txn = Vec::new();
        if let Some(group) = &descriptor.group {
            let index = i64::try_from(group.index).unwrap_or(GROUPS - 1).min(GROUPS - 1);
            txn.push((group_app(&descriptor.pipeline), descriptor.sequence * GROUPS + index));
        }
        if descriptor.is_last_of_batch() {
            txn.push((descriptor.pipeline.clone(), descriptor.sequence));
        }
        Self { txn, recorded: Some(Recorded::Batch(Box::new(descriptor))) }
    }
}
