//! What becomes of each row, from the rules alone: plain Rust over a handful of rows, without SQL.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::NaiveDate;
use highwater::config::{Late, OnTie};
use highwater::model::{Action, Counts, Ties};

use super::case::{Column, Config, Delivered, Held, History, Reading, Row};
use super::demand::{Demand, Spec, key_of, number};
use super::expect::{Found, judge};

/// A class, by its name in reports.
pub(super) type Name = &'static str;
/// What names an entry of the quarantine: key, version and hash, of which the hash covers the key.
pub(super) type EntryId = (Option<NaiveDate>, String);

/// An entry of the quarantine.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) row: Row,
    pub(super) status: Name,
    /// Whether a load kept the row out, as opposed to a rejected batch.
    pub(super) by_load: bool,
}

/// The entries of the quarantine.
pub(super) type Entries = BTreeMap<EntryId, Entry>;

/// A row that the gate looks at.
#[derive(Debug, Clone)]
pub(super) struct Gated {
    pub(super) row: Row,
    /// Its place among the staged rows.
    pub(super) staged: usize,
    /// Its class, had there been no gate; `alone` where it lacks a required value.
    pub(super) class: Name,
    /// The target's row of its key.
    pub(super) met: Option<Row>,
    /// Whether it has the version of the target's row, but other values.
    pub(super) ties: bool,
}

impl Gated {
    /// Whether it would be written, were it not for the gate.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.class, "inserted" | "updated" | "alone")
    }
}

/// What has to become of a batch.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) rejected: bool,
    /// Each staged row's class.
    pub(super) classes: Vec<(Row, Name)>,
    pub(super) counts: Counts,
    pub(super) ties: Ties,
    pub(super) dq_errors: i64,
    pub(super) found: Vec<Found>,
    /// Deduped rows that the checks knew of.
    pub(super) examined: i64,
    /// Rows that are kept in the quarantine, and were judged.
    pub(super) kept: Vec<Row>,
    /// Rows that were judged before, and stay out.
    pub(super) known_out: Vec<Row>,
    /// Deduped rows that stand in the target afterwards, or lose to what stands there.
    pub(super) let_through: Vec<Gated>,
}

/// What a batch reads.
pub(super) struct Taken {
    /// The rows that it takes.
    pub(super) rows: Vec<Row>,
    /// Late rows, rows left for later, and history.
    pub(super) memos: (i64, i64, i64),
}

/// The rows that a batch takes, and how many are late, left for later, or history.
pub(super) fn taken(config: &Config, staging: &[Delivered], reading: Reading) -> Taken {
    let (mut rows, mut late, mut future, mut history) = (Vec::new(), 0, 0, 0);
    for Delivered { row, arrived } in staging {
        let arrived = *arrived || !reading.anchored;
        let below = reading.from.is_some_and(|from| row.day.is_some_and(|day| day < from));
        let takes = if !config.window {
            arrived
        } else if row.day.is_some_and(|day| day > reading.as_of) {
            future += 1;
            false
        } else if below && reading.first {
            history += 1;
            false
        } else if below && arrived {
            late += 1;
            config.late == Late::Load
        } else {
            !below
        };
        if takes {
            rows.push(config.taken(row));
        }
    }
    Taken { rows, memos: (late, future, history) }
}

/// Highest first: version, tie-breaker, what says where a row came from, hash.
fn rank(config: &Config, a: &Row, b: &Row) -> Ordering {
    let down = |column| b.text(column).cmp(&a.text(column));
    let breaker = match config.breaker {
        None => Ordering::Equal,
        // NULL is last either way.
        Some(true) => b.seq.cmp(&a.seq),
        Some(false) => a.seq.is_none().cmp(&b.seq.is_none()).then(a.seq.cmp(&b.seq)),
    };
    version(config, b)
        .cmp(&version(config, a))
        .then(breaker)
        .then_with(|| b.seq.cmp(&a.seq))
        .then_with(|| down(Column::File))
        .then_with(|| b.hash().cmp(&a.hash()))
}

/// What tells a newer row from an older one.
fn version(config: &Config, row: &Row) -> (Option<NaiveDate>, Option<i64>) {
    (row.v, row.n.filter(|_| config.has_sequence()))
}

/// Held against the target's row.
fn classify(config: &Config, row: &Row, target: &[Held]) -> (Name, Option<Row>, bool) {
    let key = key_of(row, &config.key);
    let Some(held) = target.iter().find(|held| key_of(&held.row, &config.key) == key) else {
        return ("inserted", None, false);
    };
    let met = Some(held.row.clone());
    let same = (row.day, row.n, &row.s) == (held.row.day, held.row.n, &held.row.s) && row.b == held.row.b;
    if config.has_sequence() && held.row.n.is_none() {
        return ("updated", met, false);
    }
    match version(config, row).cmp(&version(config, &held.row)) {
        Ordering::Greater => ("updated", met, false),
        Ordering::Less => ("stale", met, false),
        Ordering::Equal if same => ("unchanged", met, false),
        Ordering::Equal if config.on_tie == OnTie::ReplaceIfDifferent => ("updated", met, true),
        Ordering::Equal => ("tied", met, true),
    }
}

/// Every check of the pipeline: those that are built in, then those of its file.
pub(super) fn all_checks(config: &Config) -> Vec<Spec> {
    let built_in = |column: Column| Spec {
        name: format!("not_null_{}", column.name()),
        demand: Demand::NotNull(column),
        action: Action::Fail,
        filter: None,
        warn_if: None,
        error_if: None,
    };
    // One that keeps all such rows out, or rejects for any, stands in for it.
    let stands_in = |column: Column, spec: &Spec| {
        matches!(spec.demand, Demand::NotNull(other) if other == column)
            && spec.filter.is_none()
            && match spec.action {
                Action::Warn => false,
                Action::Quarantine => true,
                Action::Fail => spec.error_if.is_none(),
            }
    };
    let mut columns = config.required();
    columns.extend((config.strict && !config.has_sequence()).then_some(Column::N));
    columns.retain(|column| !config.checks.iter().any(|spec| stands_in(*column, spec)));
    let mut checks: Vec<Spec> = columns.into_iter().map(built_in).collect();
    checks.extend(config.checks.iter().cloned());
    checks
}

/// Which rows are judged before and stay out: those that were discarded, and those that a load kept out and that would
/// be kept out, or reject the batch, once more.
fn judged_before(config: &Config, gated: &[Gated], entries: &Entries, as_of: NaiveDate) -> Vec<bool> {
    let entry = |gated: &Gated| entries.get(&(gated.row.v, gated.row.hash()));
    let is = |gated: &Gated, status: Name| entry(gated).is_some_and(|entry| entry.status == status);
    let mut before: Vec<bool> = gated.iter().map(|gated| is(gated, "discarded")).collect();
    let others: Vec<usize> = (0..gated.len()).filter(|at| !before[*at]).collect();
    let rows: Vec<&Row> = others.iter().map(|at| &gated[*at].row).collect();
    for check in all_checks(config).iter().filter(|check| check.demand.is_of_rows()) {
        if check.action == Action::Warn || (check.action == Action::Fail && check.error_if.is_some()) {
            continue;
        }
        let examined: Vec<usize> =
            others.iter().copied().filter(|at| check.examines(&gated[*at].row, as_of)).collect();
        let looked_at: Vec<&Row> = examined.iter().map(|at| &gated[*at].row).collect();
        let fails = check.demand.failing(&looked_at, &config.key, &rows, as_of);
        for (at, fails) in examined.into_iter().zip(fails) {
            let by_load = entry(&gated[at]).is_some_and(|entry| entry.by_load);
            before[at] |= fails && by_load && is(&gated[at], "open");
        }
    }
    before
}

/// Gives each staged row its class.
pub(super) fn settle(
    config: &Config,
    staged: &[Row],
    target: &[Held],
    entries: &Entries,
    history: &History,
    as_of: NaiveDate,
) -> Judged {
    let mut classes: Vec<Option<Name>> = vec![None; staged.len()];
    let mut give = |at: usize, class: Name| {
        assert_eq!(classes[at].replace(class), None, "row {at} has two classes");
    };
    let mut keys: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    let mut gated = Vec::new();
    let mut ties = Ties::default();
    for (at, row) in staged.iter().enumerate() {
        if config.required().iter().any(|column| row.text(*column).is_none()) {
            gated.push(Gated { row: row.clone(), staged: at, class: "alone", met: None, ties: false });
        } else {
            keys.entry(key_of(row, &config.key).unwrap()).or_default().push(at);
        }
    }
    for rows in keys.values_mut() {
        rows.sort_by(|a, b| rank(config, &staged[*a], &staged[*b]));
        let same = |a: usize, b: usize| staged[a].v == staged[b].v && staged[a].hash() == staged[b].hash();
        for (place, at) in rows.iter().enumerate().skip(1) {
            if rows[..place].iter().any(|above| same(*above, *at)) {
                give(*at, "duplicate");
            } else {
                give(*at, "superseded");
                let of = |at: usize| version(config, &staged[at]);
                ties.in_batch += i64::from(of(*at) == of(rows[0]));
            }
        }
        let row = staged[rows[0]].clone();
        let (class, met, ties) = classify(config, &row, target);
        gated.push(Gated { row, staged: rows[0], class, met, ties });
    }

    let lost =
        |class: Name, classes: &[Option<Name>]| number(classes.iter().filter(|c| **c == Some(class)).count());
    let duplicates = lost("duplicate", &classes);
    // No check knows of the rows that were judged before.
    let before = judged_before(config, &gated, entries, as_of);
    let others = || gated.iter().zip(&before).filter(|(_, before)| !**before).map(|(gated, _)| gated);
    let seen: Vec<Gated> = others().cloned().collect();
    let gone: Vec<usize> =
        gated.iter().zip(&before).filter(|(_, before)| **before).map(|(gated, _)| gated.staged).collect();
    let staged_seen: Vec<Row> =
        staged.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, row)| row.clone()).collect();
    let mut verdict = judge(config, &staged_seen, &seen, duplicates, history, as_of);
    for (place, _) in before.iter().enumerate().filter(|(_, before)| **before) {
        verdict.broken.insert(place, false);
        verdict.kept_out.insert(place, true);
    }
    let target_ties = gated.iter().filter(|gated| gated.ties).count();
    let ties_fail = config.on_tie == OnTie::Fail && others().any(|gated| gated.ties);
    let rejected = verdict.rejects || ties_fail;
    match config.on_tie {
        _ if rejected => {}
        // One that a check keeps out replaces nothing.
        OnTie::ReplaceIfDifferent => {
            let kept =
                gated.iter().zip(&verdict.kept_out).filter(|(row, out)| row.ties && row.is_held() && **out);
            ties.replaced = number(target_ties - kept.count());
        }
        OnTie::Keep | OnTie::Fail => ties.kept = number(target_ties),
    }
    let mut dq_errors = number(verdict.broken.iter().filter(|broken| **broken).count());
    let mut give = |at: usize, class: Name| {
        assert_eq!(classes[at].replace(class), None, "row {at} has two classes");
    };
    let (mut kept, mut known_out, mut let_through) = (Vec::new(), Vec::new(), Vec::new());
    for (place, row) in gated.iter().enumerate() {
        let out = if rejected { verdict.broken[place] } else { verdict.kept_out[place] };
        let keeps = row.is_held() && (before[place] || out);
        let class = match (keeps, rejected) {
            (true, _) => "quarantined",
            (false, true) => "rejected",
            (false, false) => row.class,
        };
        give(row.staged, class);
        if keeps && before[place] {
            known_out.push(row.row.clone());
        } else if keeps {
            kept.push(row.row.clone());
        } else {
            let_through.push(row.clone());
        }
        if ties_fail && row.ties && !verdict.broken[place] && !before[place] {
            dq_errors += 1;
        }
    }

    let classes: Vec<(Row, Name)> =
        staged.iter().cloned().zip(classes.into_iter().map(Option::unwrap)).collect();
    let of = |class: Name| number(classes.iter().filter(|(_, other)| *other == class).count());
    let counts = Counts {
        staged: number(staged.len()),
        duplicate: of("duplicate"),
        superseded: of("superseded"),
        deduped: number(gated.len()),
        inserted: of("inserted"),
        updated: of("updated"),
        stale: of("stale"),
        unchanged: of("unchanged"),
        tied: of("tied"),
        quarantined: of("quarantined"),
        rejected: of("rejected"),
        deleted: 0,
    };
    let examined = number(seen.len());
    let found = verdict.found;
    Judged { rejected, classes, counts, ties, dq_errors, found, examined, kept, known_out, let_through }
}

/// The target after a batch that is loaded.
pub(super) fn loaded(config: &Config, mut target: Vec<Held>, judged: &Judged) -> Vec<Held> {
    for Gated { row, class, .. } in &judged.let_through {
        if matches!(*class, "inserted" | "updated") {
            target.retain(|held| key_of(&held.row, &config.key) != key_of(row, &config.key));
            target.push(Held { row: row.clone(), hash: Some(row.hash()) });
        }
    }
    target
}
