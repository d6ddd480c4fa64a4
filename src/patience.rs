//! How long a process goes on when commits are lost: the one limit, and the one pause, of every retry loop.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::sleep;

use crate::error::{Error, Result};

/// Commits that may be lost to others before a process gives up for now.
const MAX_LOST: u32 = 30;
/// Commits in a row that may stay without an answer: more, and it is no passing trouble.
const MAX_UNKNOWN: u32 = 3;

/// Counts the commits that were lost.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    lost: u32,
    unknown: u32,
}

impl Patience {
    /// Another commit came first, or, with an error, a commit's answer was lost: waits a moment.
    ///
    /// # Errors
    /// Gives up when that happened too often.
    pub(crate) async fn lose(&mut self, error: Option<Error>) -> Result<()> {
        sleep(self.pause(error)?).await;
        Ok(())
    }

    fn pause(&mut self, error: Option<Error>) -> Result<Duration> {
        self.lost += 1;
        self.unknown = if error.is_some() { self.unknown + 1 } else { 0 };
        if self.lost > MAX_LOST || self.unknown > MAX_UNKNOWN {
            return Err(error.unwrap_or_else(|| {
                Error::retry(format!("other writers committed first {MAX_LOST} times"))
                    .hint("run it again when the tables are quieter")
            }));
        }
        if let Some(error) = error {
            tracing::warn!(error = error.chain(), "a commit's answer was lost; looking again");
        }
        // Spread out at random, so that runs that met once do not meet again. Process ids will not do: in
        // containers they are all the same.
        let spread = RandomState::new().hash_one(self.lost) % 50 + 10;
        Ok(Duration::from_millis(spread * u64::from(self.lost.min(10))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn commits_lost_to_others_are_tried_again_after_a_pause_and_not_for_ever() {
        let mut patience = Patience::default();
        for _ in 0..MAX_LOST {
            assert!(patience.pause(None).unwrap() >= Duration::from_millis(10));
        }
        assert_eq!(patience.pause(None).unwrap_err().kind(), Kind::Retry);
    }

    #[test]
    fn answers_lost_in_a_row_end_with_the_last_error_and_a_lost_race_between_them_starts_anew() {
        let mut patience = Patience::default();
        for error in [true, true, true, false, true, true, true] {
            patience.pause(error.then(|| Error::retry("away"))).unwrap();
        }
        let error = patience.pause(Some(Error::usage("denied"))).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (Kind::Usage, "denied".to_owned()));
    }
}
