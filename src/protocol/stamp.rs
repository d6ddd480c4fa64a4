//! What a commit says of itself: `txn` actions, which mark the progress, and a record in `commitInfo`.

use crate::model::{Descriptor, Evidence, IngestRecord, Lane, SchemaRecord};

/// Groups of one batch have `txn` versions from `sequence * GROUPS` on.
pub const GROUPS: i64 = 1_000_000;

/// The `txn` actions and the record of a commit.
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
    /// Files brought in, in a commit to staging.
    Ingest(Box<IngestRecord>),
    /// Other columns, in a commit to the target.
    Schema(Box<SchemaRecord>),
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
        let mut txn = vec![(Lane::Rejected.app(pipeline), number)];
        txn.extend(evidence.as_ref().map(|left| (Lane::Evidence(&left.quarantine_id).app(pipeline), number)));
        Self { txn, recorded: evidence.map(|evidence| Recorded::Rejection(Box::new(evidence))) }
    }

    /// Staging's stamp of files brought in.
    #[must_use]
    pub fn ingest(record: IngestRecord) -> Self {
        let txn = vec![(Lane::Ingest.app(&record.pipeline), record.number)];
        Self { txn, recorded: Some(Recorded::Ingest(Box::new(record))) }
    }

    /// The target's stamp of other columns.
    #[must_use]
    pub fn schema(record: SchemaRecord) -> Self {
        let txn = vec![(Lane::Schema.app(&record.pipeline), record.number)];
        Self { txn, recorded: Some(Recorded::Schema(Box::new(record))) }
    }

    /// The target's stamp: the descriptor, with the batch's number if this commit completes the batch,
    /// and the group's own number if there are groups.
    #[must_use]
    pub fn describe(descriptor: Descriptor) -> Self {
        let mut txn = Vec::new();
        if let Some(group) = &descriptor.group {
            let index = i64::try_from(group.index).unwrap_or(GROUPS - 1).min(GROUPS - 1);
            txn.push((Lane::Group.app(&descriptor.pipeline), descriptor.sequence * GROUPS + index));
        }
        if descriptor.is_last_of_batch() {
            txn.push((Lane::Live.app(&descriptor.pipeline), descriptor.sequence));
        }
        Self { txn, recorded: Some(Recorded::Batch(Box::new(descriptor))) }
    }
}
