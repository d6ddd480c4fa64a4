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
    pub previous: Option<NaiveDate>,
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
    let arrived = match anchor.or_else(|| ledger.first_load()) {
        Some(row) => since(row, staging),
        // Nothing arrives after what is read: all below a first batch was there before.
        None => Arrived::After(staging.version),
    };
    let lookback = days_before(as_of, rules.lookback_days);
    let initial = match rules.initial {
        Initial::Lookback => Some(lookback),
        Initial::All => None,
        Initial::Date(day) => Some(day),
    };
    let from = match anchor {
        None => initial,
        Some(row) => match (row.watermark, row.watermark_to) {
            (Some(own), _) => Some(own.min(lookback)),
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
    match staging_pin(row) {
        Some(pin) if pin.table_id == staging.table_id => Arrived::After(pin.version),
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
    previous: Option<NaiveDate>,
) -> Option<NaiveDate> {
    rules.column.as_ref()?;
    newest.map(|day| days_before(day.min(as_of), rules.lag_days)).or(previous)
}

fn days_before(day: NaiveDate, days: u32) -> NaiveDate {
    day.checked_sub_days(Days::new(days.into())).unwrap_or(NaiveDate::MIN)
}
