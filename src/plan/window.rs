//! Which rows of staging a batch takes.

use chrono::{Days, NaiveDate};

use super::ledger::{Ledger, staging_pin};
use crate::config::{Incremental, Initial, Mode};
use crate::model::{AuditRow, Pin, Selection, Window};

/// Staging versions whose rows count as arrived since the last load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// Rows that came in versions after this one.
    After(u64),
    /// All rows: there was no load before, or it read another staging table.
    Everything,
}

/// What a batch reads, decided from the audit rows alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlan {
    /// The days read. In mode `changes` both ends are open and nothing is filtered by date.
    pub window: Window,
    /// Which rows count as arrived since the last load.
    pub arrived: Arrived,
    /// The own watermark of the load that this one is anchored on.
    pub previous: Option<NaiveDate>,
    /// Entries of the quarantine to read instead of staging.
    pub selection: Option<Selection>,
}

impl ReadPlan {
    /// Reads all that there is.
    #[must_use]
    pub fn everything() -> Self {
        Self { window: Window::default(), arrived: Arrived::Everything, previous: None, selection: None }
    }
}

/// Plans the reading of a load as of `as_of`.
#[must_use]
pub fn plan_reading(rules: &Incremental, as_of: NaiveDate, ledger: &Ledger<'_>, staging: &Pin) -> ReadPlan {
    let anchor = ledger.anchor(as_of).filter(|row| covers(rules.mode, row));
    let previous = anchor.and_then(|row| row.watermark);
    let arrived = match anchor.map(|row| staging_pin(row)) {
        Some(Some(pin)) if pin.table_id == staging.table_id => Arrived::After(pin.version),
        _ => Arrived::Everything,
    };
    let window = match rules.mode {
        Mode::Changes => Window::default(),
        Mode::Window => Window { from: first_day(rules, as_of, anchor.is_some(), previous), to: Some(as_of) },
    };
    ReadPlan { window, arrived, previous, selection: None }
}

/// Whether all rows that arrived up to a load's pin were loaded, or lie in the next load's window.
///
/// A window leaves rows above it for later. The next window reaches back to the load's own watermark, so
/// they are in it; but a load that stored none has nothing to reach back to, and arrival alone does not
/// know of windows.
fn covers(mode: Mode, row: &AuditRow) -> bool {
    match mode {
        Mode::Window => row.watermark.is_some(),
        Mode::Changes => row.watermark_to.is_none(),
    }
}

fn first_day(
    rules: &Incremental,
    as_of: NaiveDate,
    has_anchor: bool,
    previous: Option<NaiveDate>,
) -> Option<NaiveDate> {
    let lookback = days_before(as_of, rules.lookback_days);
    if has_anchor {
        return Some(previous.map_or(lookback, |own| own.min(lookback)));
    }
    match rules.initial {
        Initial::Lookback => Some(lookback),
        Initial::All => None,
        Initial::Date(day) => Some(day),
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
    previous: Option<NaiveDate>,
) -> Option<NaiveDate> {
    rules.column.as_ref()?;
    newest.map(|day| days_before(day.min(as_of), rules.lag_days)).or(previous)
}

fn days_before(day: NaiveDate, days: u32) -> NaiveDate {
    day.checked_sub_days(Days::new(days.into())).unwrap_or(NaiveDate::MIN)
}
