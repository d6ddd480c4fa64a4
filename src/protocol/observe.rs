//! Looks at a pipeline's tables, in the reverse order of writing.
//!
//! The order matters: what is read later is never older than what it is compared with. So a watermark that
//! is seen to be ahead of the audit table, say, is never the work of a race. See
//! [`plan::decide`](crate::plan::decide).

use std::collections::{BTreeMap, BTreeSet};

use super::history::{commits_since, find_evidence, newer, newest_data_version};
use super::port::TableLog;
use super::stamp::GROUPS;
use super::tables::Tables;
use crate::error::Result;
use crate::model::{AuditRow, Descriptor, Evidence, Lane, Pin, Pinned, TablePin};
use crate::plan::ledger::Ledger;
use crate::plan::{Commit, Observation, Past, TableState, Target};

/// The role of the staging table among a batch's inputs.
pub const STAGING: &str = "staging";

/// The role of the quarantine among a replay's inputs.
pub const QUARANTINE: &str = "quarantine";

/// What a run has to know beyond what every run has to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The quarantine is read instead of staging.
    pub replay: bool,
    /// The target's past since this version.
    pub back_to: Option<u64>,
}

/// Observes one pipeline, again and again.
#[derive(Debug, Clone)]
pub struct Observer<T> {
    pipeline: String,
    /// Audit rows, by the table and the version that they were read of; most observations find no new version.
    rows: Option<((String, u64), Vec<AuditRow>)>,
    /// Numbers that the watermark table has rows of, by the table and the version that they were read of.
    marked: Option<((String, u64), BTreeSet<i64>)>,
    /// Commits of the target that were read, by version; and the target that they are of.
    commits: (String, BTreeMap<u64, Commit>),
    /// The target as it was seen last.
    target: Option<T>,
}

impl<T: TableLog> Observer<T> {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            rows: None,
            marked: None,
            commits: (String::new(), BTreeMap::new()),
            target: None,
        }
    }

    /// The audit rows of the last observation.
    #[must_use]
    pub fn rows(&self) -> &[AuditRow] {
        self.rows.as_ref().map_or(&[], |(_, rows)| rows)
    }

    /// Brings the tables up to date and says what they hold.
    ///
    /// # Errors
    /// Fails when a log or a record table cannot be read.
    pub async fn observe(
        &mut self,
        reader: &T::Reader,
        tables: &mut Tables<T>,
        wanted: Wanted,
    ) -> Result<Observation> {
        if !std::mem::take(&mut tables.fresh) {
            tables.refresh().await?;
        }
        let watermarks = self.record(&tables.watermarks).await?;
        let marked = self.marked(reader, &tables.watermarks).await?;
        let mut audit = self.record(&tables.audit).await?;
        let rows = self.audit_rows(reader, &tables.audit).await?;
        let mut quarantine = self.record(&tables.quarantine).await?;
        let Left { app: evidence_app, noted, written, evidence } =
            self.left(&tables.audit, &tables.quarantine).await?;
        (audit.evidence, quarantine.evidence) = (noted, written);
        let target = self.observe_target(&tables.target, &audit, &rows).await?;

        let mut inputs = Vec::new();
        if wanted.replay {
            // As it was observed: what a replay takes is told apart on that version.
            inputs.push(pin(QUARANTINE, &tables.quarantine, &rows).await?);
        } else if let Some(staging) = &tables.staging {
            inputs.push(pin(STAGING, staging, &rows).await?);
        }
        for (name, table) in &tables.dimensions {
            inputs.push(pin(name, table, &rows).await?);
        }
        let pinned_readable = pinned_readable(&target, tables).await?;
        let past = match wanted.back_to {
            Some(since) => Some(self.past(&tables.target, since).await?),
            None => None,
        };
        Ok(Observation {
            watermarks,
            marked,
            audit,
            rows,
            quarantine,
            evidence,
            evidence_app,
            target,
            inputs,
            pinned_readable,
            past,
        })
    }

    /// What rejections left behind for the quarantine.
    async fn left(&self, audit: &T, quarantine: &T) -> Result<Left> {
        let app = Lane::Evidence(&quarantine.id()?).app(&self.pipeline);
        let mut left = Left::numbered(app, audit, quarantine).await?;
        if left.noted == 0 && left.written == 0 {
            let old = Left::numbered(Lane::OldEvidence.app(&self.pipeline), audit, quarantine).await?;
            if old.noted > old.written {
                let evidence = find_evidence(audit, &self.pipeline, old.noted).await?;
                // Without the log entry nobody knows which quarantine the rows are for. One that has none of this
                // pipeline's is another.
                let is_ours = evidence.is_some() || old.written > 0;
                return Ok(if is_ours { Left { evidence, ..old } } else { left });
            }
        } else if left.noted > left.written {
            left.evidence = find_evidence(audit, &self.pipeline, left.noted).await?;
        }
        Ok(left)
    }

    async fn record(&self, table: &T) -> Result<TableState> {
        Ok(TableState {
            table_id: table.id()?,
            version: table.version(),
            sequence: table.txn(&Lane::Live.app(&self.pipeline)).await?,
            evidence: 0,
        })
    }

    /// The target's past since a version.
    async fn past(&mut self, target: &T, since: u64) -> Result<Past> {
        let commits =
            commits_since(target, &self.pipeline, Some(since), true, &mut self.commits.1, None).await?;
        let whole = u64::try_from(commits.len()).ok() == target.version().checked_sub(since);
        Ok(Past {
            since,
            gap: !whole,
            readable: target.is_readable_at(since).await?,
            same_schema: target.has_same_schema_at(since).await?,
            commits,
        })
    }

    async fn audit_rows(&mut self, reader: &T::Reader, audit: &T) -> Result<Vec<AuditRow>> {
        let at = (audit.id()?, audit.version());
        if let Some((read_at, rows)) = &self.rows
            && *read_at == at
        {
            return Ok(rows.clone());
        }
        let rows: Vec<AuditRow> = audit.audit_rows(reader, &self.pipeline).await?;
        for row in &rows {
            if let Some(unknown) = row.form.unknown() {
                return Err(newer(&format!("the audit row of batch {}", row.batch_id), &unknown));
            }
        }
        self.rows = Some((at, rows.clone()));
        Ok(rows)
    }

    async fn marked(&mut self, reader: &T::Reader, watermarks: &T) -> Result<BTreeSet<i64>> {
        let at = (watermarks.id()?, watermarks.version());
        if let Some((read_at, marked)) = &self.marked
            && *read_at == at
        {
            return Ok(marked.clone());
        }
        let marked = watermarks.watermark_numbers(reader, &self.pipeline).await?;
        self.marked = Some((at, marked.clone()));
        Ok(marked)
    }

    async fn observe_target(&mut self, target: &T, audit: &TableState, rows: &[AuditRow]) -> Result<Target> {
        let earlier = self.target.replace(target.clone());
        let earlier = match earlier {
            Some(earlier) if earlier.id()? == target.id()? => Some(earlier),
            _ => None,
        };
        let sequence = target.txn(&Lane::Live.app(&self.pipeline)).await?;
        let group = target.txn(&Lane::Group.app(&self.pipeline)).await?;
        let group_sequence = group / GROUPS;
        let audited = Ledger::new(rows).newest().and_then(|row| row.fact_version_after);
        let audited = audited.and_then(|version| u64::try_from(version).ok());
        let unfinished = sequence.max(group_sequence) > audit.sequence;
        let table_id = target.id()?;
        if self.commits.0 != table_id {
            self.commits = (table_id.clone(), BTreeMap::new());
        }
        let known = &mut self.commits.1;
        let commits = commits_since(target, &self.pipeline, audited, unfinished, known, earlier).await?;
        Ok(Target { table_id, version: target.version(), sequence, group_sequence, commits })
    }
}

/// What the newest rejection with rows for the quarantine left behind.
struct Left {
    /// The appId of the numbers.
    app: String,
    /// The number in the audit table; 0 where there is none.
    noted: i64,
    /// The number in the quarantine; 0 where there is none.
    written: i64,
    /// The rows, where they are not in the quarantine yet.
    evidence: Option<Evidence>,
}

impl Left {
    async fn numbered<T: TableLog>(app: String, audit: &T, quarantine: &T) -> Result<Self> {
        let noted = audit.txn(&app).await?;
        let written = quarantine.txn(&app).await?;
        Ok(Self { app, noted, written, evidence: None })
    }
}

/// Pins an input at the version that it stands at.
async fn pin<T: TableLog>(name: &str, table: &T, rows: &[AuditRow]) -> Result<Pin> {
    let table_id = table.id()?;
    let known = rows
        .iter()
        .flat_map(|row| &row.inputs)
        .filter(|pin| pin.name == name)
        .map(Pin::table)
        .filter(|pin| pin.table_id == table_id && pin.version <= table.version())
        .map(|pin| (pin.version, pin.data_version))
        .max();
    let data_version = newest_data_version(table, known).await?;
    let what = Pinned::Table(TablePin { table_id, version: table.version(), data_version });
    Ok(Pin { name: name.to_owned(), what })
}

/// Whether the rows that an unfinished batch of groups was read from can still be read, and are the same.
///
/// Where OPTIMIZE and VACUUM took arrived files since, other files would be read in their place, with other
/// rows: such a batch cannot be completed as it was begun.
async fn pinned_readable<T: TableLog>(target: &Target, tables: &Tables<T>) -> Result<bool> {
    let mut descriptors = target.commits.iter().filter_map(|commit| commit.descriptor.as_ref());
    let Some(last) = descriptors.next_back().filter(|last| !last.is_last_of_batch()) else {
        return Ok(true);
    };
    let first = descriptors.rfind(|first| first.sequence == last.sequence && is_first(first)).unwrap_or(last);
    let Some(pin) = first.inputs.first() else { return Ok(false) };
    // Newer than the target's log: what was observed before may lack what the batch pinned.
    let mut quarantine = tables.quarantine.clone();
    quarantine.refresh().await?;
    if let Some(work) = &first.quarantine
        && !(quarantine.is_readable_at(work.base_version).await? && quarantine.has_files(&work.adds).await?)
    {
        return Ok(false);
    }
    let source = if pin.name == QUARANTINE { Some(&quarantine) } else { tables.staging.as_ref() };
    let Some(staging) = source else { return Ok(false) };
    let pin = pin.table();
    if pin.table_id != staging.id()? || !staging.is_readable_at(pin.version).await? {
        return Ok(false);
    }
    let Some(group) = &first.group else { return Ok(true) };
    if tables.target.has_given_up(group).await? {
        return Ok(false);
    }
    let (Some(after), Some(digest)) = (group.arrived_after, &group.arrivals) else { return Ok(true) };
    let Some(pinned) = staging.at(pin.version).await? else { return Ok(false) };
    Ok(pinned.arrivals_digest(after).await?.is_some_and(|found| found == *digest))
}

fn is_first(descriptor: &Descriptor) -> bool {
    descriptor.group.as_ref().is_some_and(|group| group.index == 0)
}
