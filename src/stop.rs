//! How a run is ended before it is done: by SIGTERM or by its deadline, best between two steps.
//!
//! A run may be killed at any instant and nothing breaks. To end it between two steps only saves work: a MERGE that is
//! nearly done is let finish, and the next run has less to do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::error::{Error, Result};
use crate::events::RunStep;

/// How long a step may go on once the run is to end. With what comes after, it is over within 25 s.
const GRACE: Duration = Duration::from_secs(14);

/// How long processes may take that are to end, each within that grace and what comes after.
const PROCESSES_GRACE: Duration = Duration::from_secs(24);

/// Why a run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// SIGTERM came.
    Signal,
    /// It took longer than it may.
    Deadline(Duration),
}

/// What asks a run to end, and hears when it is between two steps. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    asked: Option<Why>,
    /// Whether the work has steps, between which it is best left.
    has_steps: bool,
    /// The step that would have come next.
    reached: Option<Boundary>,
}

/// A place between two steps; the next is named where it is known.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    next: Option<RunStep>,
}

impl Stop {
    /// Asks the run to end. The first reason stands.
    pub fn ask(&self, why: Why) {
        self.change(|state| {
            state.asked.get_or_insert(why);
        });
    }

    /// The run is between two steps; the next is named where it is known.
    pub(crate) fn at_boundary(&self, next: Option<RunStep>) {
        self.change(|state| {
            if state.asked.is_some() {
                state.reached.get_or_insert(Boundary { next });
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_waiters();
    }

    fn state(&self) -> State {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state is such.
    async fn until<T>(&self, reached: impl Fn(State) -> Option<T>) -> T {
        loop {
            // Before the look, or a change between the two would be missed.
            let changed = self.0.changed.notified();
            if let Some(found) = reached(self.state()) {
                return found;
            }
            changed.await;
        }
    }

    /// Waits until the run is asked to end and may be left: between two steps, or when the grace is over.
    async fn over(&self, grace: Duration) -> (Why, Option<RunStep>) {
        let why = self.until(|state| state.asked).await;
        tracing::info!(?why, "the run is to end");
        let next = tokio::select! {
            boundary = self.until(|state| state.reached) => boundary.next,
            () = sleep(grace) => None,
        };
        (why, next)
    }

    /// Does a run's work, unless it is asked to end: then as far as the next step's beginning.
    ///
    /// # Errors
    /// As the work; and with why it was ended.
    pub async fn or_end<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.or_end_within(GRACE, work).await
    }

    /// Does the work of processes that are ended likewise, and are given the time for it.
    ///
    /// # Errors
    /// As the work; and with why it was ended.
    pub async fn or_end_of_processes<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.or_end_within(PROCESSES_GRACE, work).await
    }

    /// Does what has no steps, or none yet, unless it is asked to end: then it is left at once.
    ///
    /// # Errors
    /// As the work; and with why it was ended.
    pub async fn or_leave<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let asked = self.until(|state| state.asked.filter(|_| !state.has_steps));
        tokio::select! {
            biased;
            why = asked => Err(ended(why, None)),
            done = work => done,
        }
    }

    async fn or_end_within<T>(&self, grace: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.change(|state| state.has_steps = true);
        let ended = tokio::select! {
            biased;
            (why, next) = self.over(grace) => Err(ended(why, next)),
            done = work => done,
        };
        if ended.is_ok() {
            // What is left is to print it. What failed is still to be noted.
            self.change(|state| state.has_steps = false);
        }
        ended
    }

    /// Asks the run to end when SIGTERM comes. The first process of a container ignores it unless it listens.
    ///
    /// # Errors
    /// Fails where no signal can be listened for.
    pub fn listen(&self) -> Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())
            .map_err(|error| Error::bug("SIGTERM cannot be listened for").because(error))?;
        let stop = self.clone();
        tokio::spawn(async move {
            terminate.recv().await;
            stop.ask(Why::Signal);
        });
        Ok(())
    }

    /// Asks the run to end when its time is over.
    pub fn limit(&self, deadline: Option<Duration>) {
        let Some(deadline) = deadline else { return };
        let stop = self.clone();
        tokio::spawn(async move {
            sleep(deadline).await;
            stop.ask(Why::Deadline(deadline));
        });
    }
}

fn ended(why: Why, next: Option<RunStep>) -> Error {
    let at = next.map(|next| format!(" before the step `{next}`")).unwrap_or_default();
    match why {
        Why::Signal => Error::stopped(format!("ended by SIGTERM{at}"))
            .hint("nothing is broken: the next run goes on from here"),
        Why::Deadline(limit) => {
            let limit = humantime::format_duration(limit);
            Error::retry(format!("the deadline of {limit} is over: ended{at}")).hint(
                "the next run goes on from here; raise `deadline` in the pipeline file if it is too short",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn work_ends_at_the_next_boundary_and_says_before_which_step() {
        let stop = Stop::default();
        let work = async {
            stop.at_boundary(Some(RunStep::Read));
            stop.ask(Why::Signal);
            sleep(Duration::from_millis(1)).await;
            stop.at_boundary(Some(RunStep::Merge));
            pending::<Result<()>>().await
        };
        let error = stop.or_end(work).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Stopped);
        assert_eq!(error.to_string(), "ended by SIGTERM before the step `merge`");
    }

    #[tokio::test]
    async fn step_that_goes_on_is_left_when_the_grace_is_over() {
        let stop = Stop::default();
        stop.ask(Why::Deadline(Duration::from_mins(1)));
        let work = pending::<Result<()>>();
        let error = stop.or_end_within(Duration::from_millis(1), work).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Retry);
        assert_eq!(error.to_string(), "the deadline of 1m is over: ended");
    }

    #[tokio::test]
    async fn what_has_no_steps_yet_is_left_at_once_and_a_step_is_not() {
        let stop = Stop::default();
        let inner = stop.clone();
        let opening = async {
            stop.ask(Why::Signal);
            pending::<Result<()>>().await
        };
        assert_eq!(inner.or_leave(opening).await.unwrap_err().to_string(), "ended by SIGTERM");
        let stop = Stop::default();
        let run = stop.or_end(async {
            stop.ask(Why::Signal);
            sleep(Duration::from_millis(5)).await;
            Ok(7)
        });
        assert_eq!(stop.or_leave(run).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_is_done_first_is_done() {
        let stop = Stop::default();
        assert_eq!(stop.or_end(async { Ok(7) }).await.unwrap(), 7);
    }
}
