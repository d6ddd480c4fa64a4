//! Which rows of staging a batch takes.

use chrono::{Days, NaiveDate};

use super::ledger::{Ledger, source_pin};
use crate::config::{Incremental, Initial, Mode};
use crate::model::{AuditRow, Pin, Selection, Watermark, Window};

/// Staging versions whose rows count as arrived since the last load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// Rows that came in versions after this one.
    After(u64),
    /// All rows: no load before is known to have taken them, or it read another staging table.
    Everything,
}

/// What a batch reads, decided from the audit rows alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlan {
    /// The days read. In mode `changes` both ends are open and nothing is filtered by date.
    pub window: Window,
    /// Which rows count as arrived since the last load.
    pub arrived: Arrived,
    /// Whether rows below the window are history: they lie before the start of a first batch.
    pub first: bool,
    /// The own watermark of the load that this one is anchored on.
    pub previous: Option<Watermark>,
    /// Entries of the quarantine to read instead of staging.
    pub selection: Option<Selection>,
}

impl ReadPlan {
    /// Reads all that there is.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            window: Window::default(),
            arrived: Arrived::Everything,
            first: false,
            previous: None,
            selection: None,
        }
    }
}

/// Plans the reading of a load as of `as_of`.
#[must_use]
pub fn plan_reading(rules: &Incremental, as_of: NaiveDate, ledger: &Ledger<'_>, staging: &Pin) -> ReadPlan {
    match rules.mode {
        Mode::Window => windowed(rules, as_of, ledger, staging),
        Mode::Changes => {
            // A windowed load took no rows above its window: arrival does not know of them.
            let by_arrival = |row: &&AuditRow| row.watermark_to.is_none();
            let anchor = ledger.upto(as_of).filter(by_arrival).max_by_key(|row| row.sequence);
            let last = ledger.upto(as_of).max_by_key(|row| row.sequence);
            ReadPlan {
                arrived: anchor.map_or(Arrived::Everything, |row| since(row, staging)),
                previous: last.and_then(|row| row.watermark),
                ..ReadPlan::everything()
            }
        }
    }
}

/// The window, and what counts as arrived below it.
fn windowed(rules: &Incremental, as_of: NaiveDate, ledger: &Ledger<'_>, staging: &Pin) -> ReadPlan {
    let anchor = ledger.anchor(as_of);
    let previous = anchor.and_then(|row| row.watermark);
    let first = ledger.loads().next().is_none();
    // Without an earlier day to be anchored on, what the newest load saw is loaded, or history of the first one.
    let arrived = match anchor.or_else(|| ledger.last_load()) {
        Some(row) => since(row, staging),
        // Nothing arrives after what is read: all below a first batch was there before.
        None => Arrived::After(staging.table().version),
    };
    let lookback = days_before(as_of, rules.lookback_days);
    let initial = match rules.initial.unwrap_or(Initial::All) {
        Initial::Lookback => Some(lookback),
        Initial::All => None,
        Initial::Date(day) => Some(day),
    };
    let from = match anchor {
        None => initial,
        Some(row) => match (row.watermark, row.watermark_to) {
            (Some(own), _) => Some(own.day().min(lookback)),
            // It left rows above its window for later and has no watermark to reach back to: so back to where it
            // began.
            (None, Some(_)) => initial.min(row.watermark_from),
            (None, None) => Some(lookback),
        },
    };
    ReadPlan { window: Window { from, to: Some(as_of) }, arrived, first, previous, selection: None }
}

/// Staging's rows that a load did not see.
fn since(row: &AuditRow, staging: &Pin) -> Arrived {
    match source_pin(row) {
        Some(pin) if pin.table().table_id == staging.table().table_id => Arrived::After(pin.table().version),
        _ => Arrived::Everything,
    }
}

/// The watermark that a load stores as its own.
///
/// `newest` is the highest day of the watermark column over the rows that the gate let through.
#[must_use]
pub fn own_watermark(
    rules: &Incremental,
    as_of: NaiveDate,
    newest: Option<NaiveDate>,
    previous: Option<Watermark>,
) -> Option<Watermark> {
    rules.column.as_ref()?;
    newest.map(|day| days_before(day.min(as_of), rules.lag_days).into()).or(previous)
}

fn days_before(day: NaiveDate, days: u32) -> NaiveDate {
    day.checked_sub_days(Days::new(days.into())).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::super::ledger::tests::{day, row};
    use super::*;
    use crate::config::Late;
    use crate::model::{BatchKind, Status};
    use crate::model::{Pinned, TablePin};

    fn rules(mode: Mode, initial: Initial) -> Incremental {
        let column = Some("day".to_owned());
        Incremental { mode, column, lookback_days: 2, lag_days: 1, late: Late::Load, initial: Some(initial) }
    }

    fn staging(table_id: &str, version: u64) -> Pin {
        let table = TablePin { table_id: table_id.to_owned(), version, data_version: version };
        Pin { name: "staging".to_owned(), what: Pinned::Table(table) }
    }

    /// A load with this number as of this day, which pinned this version of table `s`.
    fn load(sequence: i64, as_of: u32, pinned: u64) -> AuditRow {
        let mut row = row(sequence, BatchKind::Load, Status::Loaded, as_of, as_of, &[]);
        row.inputs = vec![staging("s", pinned)];
        row
    }

    fn windowed(load: AuditRow, from: u32, own: Option<u32>) -> AuditRow {
        AuditRow {
            watermark_from: Some(day(from)),
            watermark_to: Some(load.as_of),
            watermark: own.map(|own| day(own).into()),
            ..load
        }
    }

    fn undo(sequence: i64, undone: i64) -> AuditRow {
        row(sequence, BatchKind::Rollback, Status::RolledBack, 1, 1, &[undone])
    }

    fn arrived(rows: &[AuditRow], as_of: u32, staging: &Pin) -> Arrived {
        let rules = rules(Mode::Changes, Initial::Lookback);
        plan_reading(&rules, day(as_of), &Ledger::new(rows), staging).arrived
    }

    fn window(rows: &[AuditRow], as_of: u32, initial: Initial) -> ReadPlan {
        plan_reading(&rules(Mode::Window, initial), day(as_of), &Ledger::new(rows), &staging("s", 90))
    }

    #[test]
    fn changes_are_read_since_the_newest_load_of_the_same_or_an_earlier_day() {
        let rows = [load(1, 5, 10), load(2, 5, 20), load(3, 9, 30), load(4, 7, 40)];
        let since = |as_of| arrived(&rows, as_of, &staging("s", 90));
        assert_eq!(since(4), Arrived::Everything);
        assert_eq!([since(5), since(6)], [Arrived::After(20); 2]);
        // Number 4 came after the load of a later day, and was anchored on number 2.
        assert_eq!([since(7), since(8), since(9), since(10)], [Arrived::After(40); 4]);
    }

    #[test]
    fn changes_are_read_again_after_a_rollback_and_an_abandoned_batch() {
        let abandoned = AuditRow { status: Status::Abandoned, ..load(3, 5, 30) };
        let rows = [load(1, 5, 10), load(2, 5, 20), abandoned, undo(4, 2)];
        assert_eq!(arrived(&rows, 5, &staging("s", 90)), Arrived::After(10));
        assert_eq!(arrived(&[load(1, 5, 10), undo(2, 1)], 5, &staging("s", 90)), Arrived::Everything);
    }

    #[test]
    fn another_staging_table_is_read_whole() {
        let rows = [load(1, 5, 10)];
        assert_eq!(arrived(&rows, 6, &staging("new", 3)), Arrived::Everything);
    }

    #[test]
    fn windowed_loads_are_no_anchor_for_changes_and_hide_none() {
        let rows = [load(1, 5, 10), windowed(load(2, 6, 20), 4, Some(6))];
        assert_eq!(arrived(&rows, 6, &staging("s", 90)), Arrived::After(10));
        assert_eq!(arrived(&rows[1..], 6, &staging("s", 90)), Arrived::Everything);
    }

    #[test]
    fn first_batch_starts_where_initial_says_and_nothing_is_late_for_it() {
        let starts =
            [(Initial::Lookback, Some(day(8))), (Initial::All, None), (Initial::Date(day(3)), Some(day(3)))];
        let undone = [windowed(load(1, 5, 10), 3, Some(5)), undo(2, 1)];
        for rows in [&[][..], &undone] {
            for (initial, from) in starts {
                let plan = window(rows, 10, initial);
                assert_eq!((plan.window.from, plan.window.to), (from, Some(day(10))));
                assert_eq!((plan.first, plan.arrived), (true, Arrived::After(90)));
            }
        }
    }

    #[test]
    fn batch_without_an_earlier_load_is_no_first_batch_where_there_is_another() {
        let rows = [windowed(load(1, 9, 10), 7, Some(8)), windowed(load(2, 9, 20), 7, Some(8))];
        for as_of in [5, 9] {
            let plan = window(&rows, as_of, Initial::Lookback);
            assert_eq!(plan.window.from, Some(day(as_of - 2)));
            assert_eq!((plan.first, plan.arrived), (false, Arrived::After(20)));
        }
    }

    #[test]
    fn window_reaches_back_to_the_own_watermark_or_to_where_a_load_without_one_began() {
        let from = |rows: &[AuditRow], as_of| window(rows, as_of, Initial::Lookback).window.from;
        let ahead = [windowed(load(1, 9, 10), 7, Some(8))];
        assert_eq!([from(&ahead, 10), from(&ahead, 20)], [Some(day(8)), Some(day(8))]);
        let empty = [windowed(load(1, 9, 10), 7, None)];
        assert_eq!([from(&empty, 10), from(&empty, 20)], [Some(day(7)), Some(day(7))]);
        let all = [AuditRow { watermark_from: None, ..windowed(load(1, 9, 10), 7, None) }];
        assert_eq!(from(&all, 20), None);
        // By arrival nothing was left for later.
        let by_arrival = [AuditRow { watermark: None, ..load(1, 9, 10) }];
        assert_eq!(from(&by_arrival, 20), Some(day(18)));
    }
}
