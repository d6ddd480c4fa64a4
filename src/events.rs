//! What a run does, as events, and who listens: progress for people, log lines, the time that each step took.

use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

use crate::model::{Answer, Drift};
use crate::plan::Decision;

/// A step of a load, as logs, reports and `--fail-at` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunStep {
    /// Decide on inputs, window and batch id.
    Pin,
    /// Read the batch's rows from staging.
    Read,
    /// Hash rows: a point to fail at. Rows are hashed where that is needed, by the steps that follow.
    Hash,
    /// Keep the latest version of each key.
    Dedupe,
    /// Classify each row against the target.
    Locate,
    /// Reject the batch, or let it pass.
    Gate,
    /// Any commit to the target: a MERGE, an empty one, a RESTORE.
    Merge,
    /// Hold the commit against the classes.
    Reconcile,
    /// Record rows that were kept out.
    Quarantine,
    /// Append the audit row.
    Audit,
    /// Append the watermark row.
    Watermark,
    /// Write files of the target anew, without what deletion vectors leave behind.
    Purge,
}

impl RunStep {
    /// Every step, in the order in which a run takes them.
    pub const ALL: [Self; 12] = [
        Self::Pin,
        Self::Read,
        Self::Hash,
        Self::Dedupe,
        Self::Locate,
        Self::Gate,
        Self::Merge,
        Self::Reconcile,
        Self::Quarantine,
        Self::Audit,
        Self::Watermark,
        Self::Purge,
    ];

    /// The step's name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Read => "read",
            Self::Hash => "hash",
            Self::Dedupe => "dedupe",
            Self::Locate => "locate",
            Self::Gate => "gate",
            Self::Merge => "merge",
            Self::Reconcile => "reconcile",
            Self::Quarantine => "quarantine",
            Self::Audit => "audit",
            Self::Watermark => "watermark",
            Self::Purge => "purge",
        }
    }
}

impl fmt::Display for RunStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a run does.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It decided what to do next.
    Decided(Decision),
    /// A step begins.
    Began(Began),
    /// A step is done.
    Ended(Ended),
    /// Files are being brought in: so many of so many are read.
    Files {
        /// Those that were begun.
        begun: usize,
        /// All of them.
        of: usize,
    },
    /// A column differs from the target's.
    Drifted(Drift),
    /// It made a commit.
    Committed(Committed),
    /// It is over.
    Over(Over),
}

/// A step that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    /// The step.
    pub step: RunStep,
    /// The commit's number in its batch, where the step is one of several commits.
    pub group: Option<usize>,
    /// What it is about.
    pub on: Subject,
}

/// A step that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The step.
    pub step: RunStep,
    /// The commit's number in its batch, where the step is one of several commits.
    pub group: Option<usize>,
    /// With what result.
    pub with: Subject,
    /// How long it took.
    pub seconds: f64,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The batch that it belongs to.
    pub batch_id: String,
    /// The table's version that it made.
    pub version: u64,
}

/// A run that is over without an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Over {
    /// The batch.
    pub batch_id: String,
    /// How it ended: `loaded`, `already_loaded`, …
    pub status: &'static str,
    /// Rows that were staged.
    pub rows: i64,
    /// Bytes of data files that came to the target meanwhile.
    pub bytes: i64,
    /// How long it took.
    pub seconds: f64,
}

/// What a step is about, or what it came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Subject {
    /// Nothing that could be counted.
    #[default]
    Nothing,
    /// So many rows.
    Rows(u64),
    /// So many files.
    Files(usize),
    /// So many checks.
    Checks(usize),
    /// So many entries of the quarantine.
    Entries(usize),
    /// A batch.
    Batch(String),
    /// An older version of a table.
    Version(u64),
    /// A judgement, in words.
    Told(String),
}

impl Subject {
    fn rows(&self) -> Option<u64> {
        match self {
            Self::Rows(rows) => Some(*rows),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Rows(rows) => write!(f, "{rows} rows"),
            Self::Files(files) => write!(f, "{files} files"),
            Self::Checks(checks) => write!(f, "{checks} checks"),
            Self::Entries(entries) => write!(f, "{entries} entries"),
            Self::Batch(id) => f.write_str(id),
            Self::Version(version) => write!(f, "RESTORE to version {version}"),
            Self::Told(text) => f.write_str(text),
        }
    }
}

/// Who listens to a run.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn hear(&self, event: &Event);
}

/// Tells events to listeners, and takes the time of steps.
pub struct Events {
    listeners: Vec<Box<dyn Listener>>,
    steps: Mutex<Vec<Lap>>,
}

/// What a step took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The step.
    pub step: RunStep,
    /// How long it took, all its turns together.
    pub seconds: f64,
    /// Rows that it was about or came to, where they were counted.
    pub rows: Option<u64>,
    /// The most memory that the process had had when the step ended, in bytes.
    pub peak_memory: Option<u64>,
}

/// What a step took so far.
#[derive(Debug)]
struct Lap {
    begun: Option<Instant>,
    took: Timing,
}

impl Default for Events {
    fn default() -> Self {
        Self { listeners: vec![Box::new(LogLines)], steps: Mutex::default() }
    }
}

impl Events {
    /// The same, with one more listener.
    #[must_use]
    pub fn with(mut self, listener: impl Listener + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Tells an event.
    pub fn tell(&self, event: &Event) {
        for listener in &self.listeners {
            listener.hear(event);
        }
    }

    /// A step begins.
    pub fn begin(&self, step: RunStep, group: Option<usize>, on: Subject) {
        if let Ok(mut laps) = self.steps.lock() {
            let begun = Some(Instant::now());
            let rows = on.rows();
            if let Some(lap) = laps.iter_mut().find(|lap| lap.took.step == step) {
                lap.begun = begun;
            } else {
                laps.push(Lap { begun, took: Timing { step, seconds: 0.0, rows, peak_memory: None } });
            }
        }
        self.tell(&Event::Began(Began { step, group, on }));
    }

    /// A step is done.
    pub fn end(&self, step: RunStep, group: Option<usize>, with: Subject) {
        let mut seconds = 0.0;
        if let Ok(mut laps) = self.steps.lock()
            // The kernel notes a peak only when memory is given back, so that it may say less than a moment before.
            && let known = laps.iter().filter_map(|lap| lap.took.peak_memory).max()
            && let Some(lap) = laps.iter_mut().find(|lap| lap.took.step == step)
            && let Some(begun) = lap.begun.take()
        {
            seconds = begun.elapsed().as_secs_f64();
            lap.took.seconds += seconds;
            lap.took.rows = with.rows().or(lap.took.rows);
            lap.took.peak_memory = peak_memory().max(known);
        }
        self.tell(&Event::Ended(Ended { step, group, with, seconds }));
    }

    /// What each step took that was begun, in their order.
    #[must_use]
    pub fn timings(&self) -> Vec<Timing> {
        let Ok(laps) = self.steps.lock() else { return Vec::new() };
        laps.iter().map(|lap| lap.took).collect()
    }
}

/// The most memory that the process has had, in bytes, where the system says it as Linux does.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"))?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}

/// Writes each event as a line of the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogLines;

impl Listener for LogLines {
    fn hear(&self, event: &Event) {
        match event {
            Event::Decided(Decision { case, why }) => tracing::info!(case = case.name(), why, "decided"),
            Event::Began(Began { step, group, on }) => {
                tracing::info!(step = step.as_str(), group, detail = %on, "begin");
            }
            Event::Ended(Ended { step, group, with, seconds }) => {
                tracing::info!(step = step.as_str(), group, detail = %with, seconds, "end");
            }
            Event::Files { begun, of } => tracing::debug!(begun, of, "files"),
            Event::Drifted(Drift { change, column, staging, target, answer }) => {
                let (change, answer) = (change.as_str(), answer.as_str());
                if answer == Answer::Leave.as_str() {
                    tracing::warn!(change, column, staging, target, answer, "drift");
                } else {
                    tracing::info!(change, column, staging, target, answer, "drift");
                }
            }
            Event::Committed(Committed { batch_id, version }) => {
                tracing::info!(batch = batch_id, version, "committed");
            }
            Event::Over(Over { batch_id, status, rows, bytes, seconds }) => {
                tracing::info!(batch = batch_id, status, rows, bytes, seconds, "over");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Heard(Arc<Mutex<Vec<Event>>>);

    impl Listener for Heard {
        fn hear(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    #[test]
    fn listeners_hear_each_step_and_its_time_is_summed() {
        let heard = Arc::default();
        let events = Events::default().with(Heard(Arc::clone(&heard)));
        for _ in 0..2 {
            events.begin(RunStep::Read, None, Subject::Nothing);
            events.end(RunStep::Read, None, Subject::Rows(3));
        }
        events.begin(RunStep::Gate, None, Subject::Checks(2));
        let heard = heard.lock().unwrap();
        let ended: Vec<f64> = heard
            .iter()
            .filter_map(|event| match event {
                Event::Ended(Ended { step: RunStep::Read, with: Subject::Rows(3), seconds, .. }) => {
                    Some(*seconds)
                }
                _ => None,
            })
            .collect();
        assert_eq!((heard.len(), ended.len()), (5, 2));
        let timings = events.timings();
        assert_eq!(timings.iter().map(|took| took.step).collect::<Vec<_>>(), [RunStep::Read, RunStep::Gate]);
        assert!((timings[0].seconds - ended.iter().sum::<f64>()).abs() < 1e-9);
        assert_eq!((timings[0].rows, timings[1].rows, timings[1].peak_memory), (Some(3), None, None));
        assert!(timings[0].peak_memory.is_some_and(|bytes| bytes > 1 << 20));
    }
}
