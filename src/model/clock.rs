//! The one place that reads the clock.

use chrono::{DateTime, Utc};

/// Where a batch's single clock reading comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still: for tests, and to repeat a run exactly.
    Frozen(DateTime<Utc>),
}

impl Clock {
    /// The time now, to the microsecond: what the tables can hold.
    #[must_use]
    pub fn now(self) -> DateTime<Utc> {
        let now = match self {
            #[expect(clippy::disallowed_methods, reason = "the one reading of the clock")]
            Self::System => Utc::now(),
            Self::Frozen(at) => at,
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// The frozen time, if this clock stands still.
    #[must_use]
    pub fn frozen(self) -> Option<DateTime<Utc>> {
        match self {
            Self::System => None,
            Self::Frozen(_) => Some(self.now()),
        }
    }
}
