//! Looking, until what is seen is enough to decide by.

use super::course::{Course, Next, Turn};
use super::observe::Observer;
use super::port::TableLog;
use super::tables::Tables;
use crate::error::{Error, Result};
use crate::plan::Observation;

/// Looks in a row after which the tables are taken to change too often.
const MAX_LOOKS: u32 = 100;

/// Looks until what is seen is enough: a race may tear a look, and a rollback has to know the target's past. The last
/// observation, and what the run does about it.
///
/// # Errors
/// Fails when a log or a record table cannot be read, and when the tables change too often.
pub async fn look_until_stable<T: TableLog>(
    course: &mut Course,
    observer: &mut Observer<T>,
    reader: &T::Reader,
    tables: &mut Tables<T>,
) -> Result<(Observation, Next)> {
    for _ in 0..MAX_LOOKS {
        let seen = observer.observe(reader, tables, course.wanted()).await?;
        match course.turn(&seen) {
            Turn::Look => {}
            Turn::Go(next) => return Ok((seen, next)),
        }
    }
    Err(Error::retry("the tables keep changing while they are looked at")
        .hint("run it again when they are quieter"))
}
