//! How a run is started: its pipeline file and flags.

use chrono::{DateTime, TimeZone as _, Utc};
use highwater::checks::{Check, CheckKind};
use highwater::config::{Incremental, Initial, Late, LoadColumns, Mode, OnTie};
use highwater::model::{Action, Clock, Selection, Strategy};
use highwater::plan::{Accepted, Intent, Request, RollbackGoal, Rules};

use super::rows::date;
use super::world::FactLog;

/// How a run is started: its pipeline file and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Start {
    pub pipeline: &'static str,
    pub want: Want,
    pub as_of: u8,
    pub mode: Reading,
    /// Whether the first batch starts two days before its logical date, and not at the beginning.
    pub leaves_history: bool,
    pub on_tie: Tie,
    pub orphans: Orphans,
    /// Whether orphans are accepted.
    pub accepts: bool,
    pub partitions: usize,
    /// The minute at which its clock stands still.
    pub clock: u8,
}

/// The command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Want {
    Load,
    /// All open entries.
    Replay,
    Back(Back),
}

/// What is to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Back {
    /// The batch with this number, which exists at the start; `None` is the last one.
    pub number: Option<i64>,
    pub cascade: bool,
    pub even_foreign: bool,
}

/// As in the pipeline file; those types have no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    Window,
    Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tie {
    Keep,
    Replace,
}

/// What becomes of rows whose customer is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Orphans {
    StayOut,
    Reject,
}

/// The name of the check that finds them.
pub const KNOWN: &str = "known_customer";

impl Start {
    /// How it writes: runs beside each other write in ways of their own, and finish what others began in theirs. Only one
    /// way writes in groups.
    pub fn strategy(&self) -> Strategy {
        match (self.partitions, self.clock % 3) {
            (1, _) | (_, 0) => Strategy::Builder,
            (_, 1) => Strategy::DeletionVectors,
            _ => Strategy::Rewrite,
        }
    }

    /// What a run that is started so wants, before it has seen anything.
    pub fn intent(&self, fact: &FactLog) -> Intent {
        let at: DateTime<Utc> = Utc.with_ymd_and_hms(2025, 9, 1, 4, self.clock.into(), 0).unwrap();
        let request = match self.want {
            Want::Load => Request::Load(self.accepted()),
            Want::Replay => Request::Replay(Selection::default(), self.accepted()),
            Want::Back(back) => Request::Rollback(RollbackGoal {
                batch_id: back.number.map(|number| self.id_of(number, fact)),
                cascade: back.cascade,
                even_foreign: back.even_foreign,
                reason: Some("a person's wish".to_owned()),
            }),
        };
        Intent::new(self.rules(), request, date(self.as_of), Clock::Frozen(at))
    }

    fn accepted(&self) -> Accepted {
        let checks = self.accepts.then(|| KNOWN.to_owned()).into_iter().collect();
        Accepted { checks, reason: None }
    }

    fn rules(&self) -> Rules {
        let text = str::to_owned;
        Rules {
            pipeline: text(self.pipeline),
            unique_key: vec![text("key")],
            null_keys: highwater::notation::NullKeys::Reject,
            version: text("version"),
            sequence: Vec::new(),
            tie_breakers: Vec::new(),
            on_tie: if self.on_tie == Tie::Keep { OnTie::Keep } else { OnTie::ReplaceIfDifferent },
            lineage: Vec::new(),
            exclude: Vec::new(),
            load_columns: LoadColumns {
                batch_id: text("batch_id"),
                loaded_at: text("loaded_at"),
                row_hash: text("row_hash"),
            },
            incremental: Incremental {
                mode: if self.mode == Reading::Window { Mode::Window } else { Mode::Changes },
                column: Some(text("day")),
                lookback_days: 2,
                lag_days: 1,
                late: Late::Load,
                initial: Some(if self.leaves_history { Initial::Lookback } else { Initial::All }),
            },
            dimensions: [text("customers")].into(),
            mapping: highwater::config::Mapping::default(),
            checks: checks(self.orphans),
        }
    }

    /// The id of the batch that a person names by its number.
    fn id_of(&self, number: i64, fact: &FactLog) -> String {
        let nodes = fact.nodes();
        let mut own = nodes.iter().filter_map(|node| node.entry.descriptor.as_ref());
        let named = own.find(|d| d.pipeline == self.pipeline && d.sequence == number);
        named.map_or_else(|| "no such batch".to_owned(), |d| d.batch_id.clone())
    }

    pub fn is_rollback(&self) -> bool {
        matches!(self.want, Want::Back(_))
    }
}

/// The built-in check of the key, and the one that is declared.
fn checks(orphans: Orphans) -> Vec<Check> {
    let check = |name: &str, kind, action| Check {
        name: name.to_owned(),
        kind,
        column: Some("key".to_owned()),
        action,
        filter: None,
        warn_if: None,
        error_if: None,
    };
    let known = CheckKind::Relationships(highwater::checks::Relationships {
        to: "customers".to_owned(),
        field: "key".to_owned(),
    });
    let action = if orphans == Orphans::Reject { Action::Fail } else { Action::Quarantine };
    vec![check("key_not_null", CheckKind::NotNull, Action::Fail), check(KNOWN, known, action)]
}
