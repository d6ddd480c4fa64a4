//! What others do to the tables.

use std::rc::Rc;

use highwater::model::batch::RecordTables;
use highwater::model::{BatchKind, Counts, Descriptor, Memos, Status, Window};
use highwater::plan::Ledger;
use highwater::plan::batch_id::undo_id;

use super::rows::{Held, row};
use super::world::{Loaded, Log, Node, Staged, World};

/// One thing that another hand does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Rows arrive in staging: a newer version of key 1, and a new key.
    AppendStaging,
    /// Staging's files are compacted.
    OptimizeStaging,
    /// Staging's files are compacted, and the former ones deleted.
    VacuumStaging,
    /// Staging is replaced by a copy of itself as it was at its first version.
    OlderStaging,
    /// Another writer appends a row of its own to the target.
    AppendFact,
    /// The target's files are compacted.
    OptimizeFact,
    /// Somebody takes the target back by one version.
    RestoreFact,
    /// Somebody takes the target back to when it was empty.
    EmptyFact,
    /// The target's log entries are deleted, but for so many.
    CleanFact {
        but: u64,
    },
    /// `highwater rollback`: the pipeline's last load is taken back.
    Rollback,
    /// The table is dropped and created anew.
    NewTarget,
    NewAudit,
    NewMarks,
    /// The table is replaced by an older copy of itself, by so many versions.
    OlderTarget(u64),
    OlderAudit(u64),
    OlderMarks(u64),
}

impl Event {
    /// Does it, if it can be done now.
    pub fn happen(self, world: &mut World) -> bool {
        match self {
            Self::AppendStaging => {
                let rows = vec![row(1, 1, 9), row(8, 2, 1)];
                world.staging.push(Staged { rows, changed_data: true }, []);
            }
            Self::OptimizeStaging => world.staging.push(Staged::default(), []),
            Self::VacuumStaging => {
                world.staging.push(Staged::default(), []);
                world.staging.cleaned = world.staging.head.version;
            }
            Self::OlderStaging => return go_back(&mut world.staging, 1),
            Self::AppendFact => {
                let mut content = world.fact.content().to_vec();
                content.push(Held { row: row(20, 1, 1), by: None });
                world.fact.commit_foreign(None, content);
            }
            Self::OptimizeFact => {
                let content = world.fact.content().to_vec();
                world.fact.commit_foreign(None, content);
            }
            Self::RestoreFact => {
                let Some(to) = world.fact.head.version.checked_sub(1) else { return false };
                return restore_foreign(world, to);
            }
            Self::EmptyFact => {
                return world.fact.head.version > 0 && restore_foreign(world, 0);
            }
            Self::CleanFact { but } => {
                let cleaned = (world.fact.head.version + 1).saturating_sub(but);
                if cleaned <= world.fact.cleaned {
                    return false;
                }
                world.fact.cleaned = cleaned;
            }
            Self::Rollback => return roll_back(world),
            Self::NewTarget => world.fact = Log::new("new target"),
            Self::NewAudit => world.audit = Log::new("new audit"),
            Self::NewMarks => world.marks = Log::new("new watermarks"),
            Self::OlderTarget(by) => return go_back(&mut world.fact, by),
            Self::OlderAudit(by) => return go_back(&mut world.audit, by),
            Self::OlderMarks(by) => return go_back(&mut world.marks, by),
        }
        true
    }
}

fn go_back<T: Default + std::fmt::Debug>(log: &mut Log<T>, by: u64) -> bool {
    let older = log.head.version.checked_sub(by).and_then(|version| log.at(version));
    older.map(|older| log.head = older).is_some()
}

/// A RESTORE without a descriptor. It leaves `txn` entries alone.
pub fn restore_foreign(world: &mut World, to: u64) -> bool {
    let Some(older) = world.fact.at(to).filter(|_| to >= world.fact.cleaned) else { return false };
    world.fact.commit_foreign(Some(to), older.entry.content.to_vec());
    true
}

/// The deciding commit of a rollback of the last load in effect. A rollback finishes first what is
/// unfinished, so it starts only where all is recorded; whoever comes next finishes it.
fn roll_back(world: &mut World) -> bool {
    let rows: Vec<_> = world.audit_rows().cloned().collect();
    let Some(load) = Ledger::new(&rows).last_load() else { return false };
    let newest = world.fact.newest(&load.pipeline);
    if world.audit.txn(&load.pipeline) != newest || world.marks.txn(&load.pipeline) != newest {
        return false;
    }
    let to = load.fact_version_before.unwrap() as u64;
    let foreign = |node: &&Node<Loaded>| node.version > to && node.entry.descriptor.is_none();
    if world.fact.nodes().iter().any(|node| foreign(node) && node.entry.changed_data) {
        return false;
    }
    let undone = vec![load.batch_id.clone()];
    let descriptor = Descriptor {
        pipeline: load.pipeline.clone(),
        sequence: newest + 1,
        covers_from: newest + 1,
        batch_id: undo_id(&undone, newest + 1),
        kind: BatchKind::Rollback,
        status: Status::RolledBack,
        as_of: load.as_of,
        run_start: load.run_start,
        run_end: Some(load.run_start),
        config_digest: load.config_digest.clone(),
        inputs: Vec::new(),
        tables: RecordTables {
            target: world.fact.id.to_owned(),
            audit: world.audit.id.to_owned(),
            watermarks: world.marks.id.to_owned(),
        },
        base_version: world.fact.head.version,
        window: Window::default(),
        counts: Counts::default(),
        memos: Memos::default(),
        own_watermark: None,
        undone,
        reason: Some("a person's wish".to_owned()),
        group: None,
    };
    let older = world.fact.at(to).unwrap();
    let content = Rc::clone(&older.entry.content);
    world.fact.commit_described(descriptor, Some(to), content.to_vec());
    true
}
