//! From a staged and located batch to its verdict: reject it, or commit it, whole or in groups.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::groups::{self, Moves};
use crate::config::OnTie;
use crate::model::batch::PartitionName;
use crate::model::{Class, Counts, Memos};

/// Deduped rows by where they go, where the row that they match lies, and class.
pub type Cells = BTreeMap<(PartitionName, Option<PartitionName>, Class), i64>;

/// A batch as it stands against the target, before anything is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Staged {
    /// Rows read, and how the dedupe split them. Classes are not filled in.
    pub dedupe: Counts,
    /// Late and future rows, and ties in the batch.
    pub memos: Memos,
    /// Deduped rows by partition and class.
    pub cells: Cells,
    /// Deduped rows that tie with the target, whatever became of them.
    pub target_ties: i64,
    /// How many of those lack a value too, and so are among `null_rows`.
    pub lacking_ties: i64,
    /// Rows with a NULL in this key, version or watermark column, or in one that the target wants filled.
    pub nulls: BTreeMap<String, i64>,
    /// Rows with a NULL in any of those columns.
    pub null_rows: i64,
    /// Rows that break a rule, shown in a rejection.
    pub examples: Vec<String>,
    /// The highest day of the watermark column.
    pub newest: Option<NaiveDate>,
}

/// What becomes of a staged batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Refuse the batch; the row to record.
    Reject(Rejection),
    /// Commit it.
    Commit(Commitment),
}

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Every deduped row counts as rejected.
    pub counts: Counts,
    /// As staged.
    pub memos: Memos,
    /// Distinct rows that broke a rule.
    pub dq_errors: i64,
    /// For a person.
    pub reason: String,
    /// The history that the batch was judged by. Nothing is judged by history yet, so the same batch has
    /// one rejection, whatever the words of the reason.
    pub judged_by: String,
}

/// A batch to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Commitment {
    /// Partitions of each group; empty when one commit does.
    pub groups: Vec<Vec<PartitionName>>,
    /// Rows by class: of the first group, or of all where there are none.
    pub counts: Counts,
    /// Memos, with ties as they were settled for all rows.
    pub memos: Memos,
}

/// Settles a batch. Pure: the verdict depends on nothing but what was staged and the rules.
#[must_use]
pub fn settle(staged: &Staged, on_tie: OnTie, partitions_per_commit: usize) -> Verdict {
    let mut reasons = Vec::new();
    for (column, rows) in &staged.nulls {
        if *rows > 0 {
            reasons.push(format!("NULL in `{column}` in {rows} of {} rows", staged.dedupe.staged));
        }
    }
    let ties_fail = on_tie == OnTie::Fail && staged.target_ties > 0;
    if ties_fail {
        reasons.push(format!(
            "{} rows have the version of the target's row but other values, and on_tie is `fail`",
            staged.target_ties
        ));
    }
    let mut memos = staged.memos;
    if !reasons.is_empty() {
        if !staged.examples.is_empty() {
            reasons.push(format!("for example {}", staged.examples.join("; ")));
        }
        let broken = staged.null_rows + if ties_fail { staged.target_ties - staged.lacking_ties } else { 0 };
        let counts = Counts { rejected: staged.dedupe.deduped, ..staged.dedupe };
        return Verdict::Reject(Rejection {
            counts,
            memos,
            dq_errors: broken,
            reason: reasons.join("; "),
            judged_by: String::new(),
        });
    }

    match on_tie {
        OnTie::ReplaceIfDifferent => memos.ties.replaced = staged.target_ties,
        OnTie::Keep | OnTie::Fail => memos.ties.kept = staged.target_ties,
    }
    let moves = moves(&staged.cells);
    let groups = groups::split(&moves, partitions_per_commit);
    let mut counts = staged.dedupe;
    let elsewhere: BTreeSet<&PartitionName> = groups.iter().skip(1).flatten().collect();
    for ((new, _, class), rows) in &staged.cells {
        if !elsewhere.contains(new) {
            counts.add_class(*class, *rows);
        }
    }
    Verdict::Commit(Commitment { groups, counts, memos })
}

/// The classes of the rows that go to these partitions.
#[must_use]
pub fn group_counts(cells: &Cells, partitions: &[PartitionName]) -> Counts {
    let partitions: BTreeSet<&PartitionName> = partitions.iter().collect();
    let mut counts = Counts::default();
    for ((new, _, class), rows) in cells {
        if partitions.contains(new) {
            counts.add_class(*class, *rows);
        }
    }
    counts
}

fn moves(cells: &Cells) -> Moves {
    let mut moves = Moves::new();
    for ((new, old, class), rows) in cells {
        if class.is_written() {
            *moves.entry((new.clone(), old.clone())).or_default() += rows;
        }
    }
    moves
}
