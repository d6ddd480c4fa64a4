//! What others do to the tables.

use std::rc::Rc;

use highwater::model::EntryStatus;

use super::rows::{Held, row};
use super::world::{Audited, Customers, Loaded, Log, Marked, Staged, World};

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
    /// The target gets another column.
    AlterFact,
    /// Files of the target's former versions are deleted.
    VacuumFact,
    /// The dimension gets this customer, or loses it.
    Learn(u8),
    Forget(u8),
    /// A person discards all open entries.
    Discard,
    /// The quarantine's files are compacted, and the former ones deleted.
    VacuumQuarantine,
    /// The audit table's log entries are deleted.
    CleanAudit,
    /// A row of the audit or the watermark table is deleted.
    DeleteAudit(i64),
    DeleteMark(i64),
    /// The table is dropped and created anew.
    NewTarget,
    NewAudit,
    NewMarks,
    NewQuarantine,
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
                world.staging.vacuumed = world.staging.head.version;
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
            Self::AlterFact => {
                let Loaded { schema, content, .. } = &world.fact.head.entry;
                let entry = Loaded { schema: schema + 1, content: Rc::clone(content), ..Loaded::default() };
                world.fact.push(entry, []);
            }
            Self::VacuumFact => world.fact.vacuumed = world.fact.head.version,
            Self::Learn(key) => return know(world, |known| known.insert(key)),
            Self::Forget(key) => return know(world, |known| known.remove(&key)),
            Self::Discard => return discard(world),
            Self::VacuumQuarantine => {
                let entries = world.quarantine.entries().to_vec();
                world.quarantine.put(entries, []);
                world.quarantine.vacuumed = world.quarantine.head.version;
            }
            Self::CleanAudit => world.audit.cleaned = world.audit.head.version + 1,
            Self::DeleteAudit(number) => {
                world.audit.push(Audited { deleted: Some(number), ..Audited::default() }, []);
            }
            Self::DeleteMark(number) => {
                world.marks.push(Marked { row: None, deleted: Some(number) }, []);
            }
            Self::NewTarget => world.fact = Log::new("new target"),
            Self::NewAudit => world.audit = Log::new("new audit"),
            Self::NewMarks => world.marks = Log::new("new watermarks"),
            Self::NewQuarantine => world.quarantine = Log::new("new quarantine"),
            Self::OlderTarget(by) => return go_back(&mut world.fact, by),
            Self::OlderAudit(by) => return go_back(&mut world.audit, by),
            Self::OlderMarks(by) => return go_back(&mut world.marks, by),
        }
        true
    }
}

fn know(world: &mut World, change: impl FnOnce(&mut Customers) -> bool) -> bool {
    let mut known = world.customers.head.entry.clone();
    let changed = change(&mut known);
    if changed {
        world.customers.push(known, []);
    }
    changed
}

fn discard(world: &mut World) -> bool {
    let mut entries = world.quarantine.entries().to_vec();
    let open = entries.iter_mut().filter(|entry| entry.status == EntryStatus::Open);
    let discarded = open.map(|entry| entry.status = EntryStatus::Discarded).count();
    if discarded > 0 {
        world.quarantine.put(entries, []);
    }
    discarded > 0
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
