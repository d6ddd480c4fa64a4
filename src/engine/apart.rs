//! Statements that may run for ever, on threads of their own.
//!
//! A join that finds no row never yields, and so cannot be cancelled: on the program's threads it would hold up timers
//! and I/O with itself. What a person wrote therefore runs apart; what takes too long is left behind, and its threads
//! end with the process.

use std::mem::ManuallyDrop;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::sql::Params;
use super::{Engine, Rows};
use crate::error::{Error, Kind, Result};

/// The stack of a thread that plans queries: plans over many partitions or columns recurse deeply. Only what is used
/// of it takes memory.
pub const STACK: usize = 64 << 20;

/// The threads, once there was a statement to run.
#[derive(Default)]
pub(super) struct Apart(OnceLock<Runtime>);

impl Apart {
    fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.0.get() {
            return Ok(runtime);
        }
        let built = Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
        let built = built.map_err(|error| Error::retry("no threads could be started").because(error))?;
        if let Err(second) = self.0.set(built) {
            let_go(second);
        }
        self.0.get().ok_or_else(|| Error::bug("threads were started and are not there"))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            let_go(runtime);
        }
    }
}

/// Ends a runtime, and does not wait here for its threads. Somebody has to: a thread that is detached in the moment in which
/// it ends takes its stack away from under glibc (2.36), and the process dies by SIGSEGV. A small stack is kept for the
/// next thread, so the one that waits can be detached.
fn let_go(runtime: Runtime) {
    // Where no thread can be started, its threads end with the process.
    let runtime = ManuallyDrop::new(runtime);
    let _ = std::thread::Builder::new().spawn(move || drop(ManuallyDrop::into_inner(runtime)));
}

/// Why a statement that a person wrote has no result.
#[derive(Debug)]
pub enum Failure {
    /// It took too long.
    Late,
    /// What was written did not fit a row, such as a division by zero, or a text that is no number.
    Unfit(String),
    /// Anything else.
    Other(Error),
}

impl Engine {
    /// Runs a statement that a person wrote, for at most `limit`.
    ///
    /// # Errors
    /// Fails with what is to be told of it.
    pub async fn try_rows(&self, sql: &str, limit: Duration) -> std::result::Result<Rows, Failure> {
        match self.rows_within(sql, limit).await {
            Ok(rows) => rows.ok_or(Failure::Late),
            Err(error) => match self.words_of(&error) {
                Some(why) if error.kind() == Kind::Bug => Err(Failure::Unfit(why)),
                _ => Err(Failure::Other(error)),
            },
        }
    }

    /// Runs a statement and keeps all of its rows; `None` if it takes longer than `limit`.
    ///
    /// # Errors
    /// Fails as [`Engine::rows`] does.
    async fn rows_within(&self, sql: &str, limit: Duration) -> Result<Option<Rows>> {
        let (engine, sql) = (Self::on(self.context.clone(), self.memory), sql.to_owned());
        let task = self.apart.runtime()?.spawn(async move { engine.rows(&sql, &Params::new()).await });
        let stop = task.abort_handle();
        match timeout(limit, task).await {
            Err(_) => {
                stop.abort();
                Ok(None)
            }
            Ok(Ok(rows)) => rows.map(Some),
            Ok(Err(lost)) => match lost.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::bug("a statement was cancelled")),
            },
        }
    }
}
