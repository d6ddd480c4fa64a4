//! Runs the members, so many at once.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::Member;
use crate::error::{Error, Result};

/// Names the variable that says how much memory a process may use.
const MEMORY: &str = "HIGHWATER__MEMORY";

/// How one pipeline's command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The pipeline.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// Its exit status; `None` where it was not run, as one that it waits for failed.
    pub exit_status: Option<u8>,
    /// Its JSON document; null where it printed none.
    pub document: Value,
    /// Why it was not run, or what it said on stderr.
    pub said: String,
    /// How long it took.
    pub seconds: f64,
}

/// Runs a command with each member's file, at most `at_once` at a time, in the order in which they stand: those that wait
/// for one that fails are not run. `told` hears of each as it ends. SIGTERM is handed on, SIGINT as SIGTERM, and nothing more
/// is begun.
///
/// # Errors
/// Fails where this program cannot be started again.
pub async fn run_all(
    members: &[Member],
    words: &[String],
    at_once: usize,
    mut told: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>> {
    let listen = |kind: SignalKind| {
        signal(kind).map_err(|error| Error::bug("signals cannot be listened for").because(error))
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut outcomes: Vec<Option<Outcome>> = members.iter().map(|_| None).collect();
    let at_once = at_once.min(members.len()).max(1);
    let (mut running, mut begun, mut stopped) = (FuturesUnordered::new(), vec![false; members.len()], false);
    let mut processes: Vec<Option<Pid>> = vec![None; members.len()];
    loop {
        for at in 0..members.len() {
            if begun[at] || running.len() >= at_once {
                continue;
            }
            match waits(at, members, &outcomes) {
                Waits::No if stopped => outcomes[at] = Some(skipped(&members[at], "SIGTERM came first")),
                Waits::No => {
                    let child = start(&members[at], words, at_once)?;
                    processes[at] = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
                    running.push(ended(at, &members[at], child));
                }
                Waits::Never(failed) => {
                    outcomes[at] =
                        Some(skipped(&members[at], &format!("`{failed}` failed, whose target it reads")));
                }
                Waits::Yes => continue,
            }
            begun[at] = true;
            if let Some(outcome) = &outcomes[at] {
                told(outcome);
            }
        }
        if running.is_empty() {
            if begun.iter().all(|begun| *begun) {
                break;
            }
            // What waited for one that was skipped just now.
            continue;
        }
        tokio::select! {
            Some((at, outcome)) = running.next() => {
                processes[at] = None;
                let outcome = outcome?;
                told(&outcome);
                outcomes[at] = Some(outcome);
            }
            () = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }, if !stopped => {
                stopped = true;
                for process in processes.iter().flatten() {
                    // One that has ended meanwhile needs none.
                    let _ = kill_process(*process, Signal::TERM);
                }
            }
        }
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Whether a member waits.
enum Waits {
    No,
    Yes,
    /// For one that failed.
    Never(String),
}

fn waits(at: usize, members: &[Member], outcomes: &[Option<Outcome>]) -> Waits {
    let mut waits = Waits::No;
    for (other, outcome) in members.iter().zip(outcomes).filter(|(other, _)| members[at].waits_for(other)) {
        match outcome {
            Some(outcome) if outcome.exit_status == Some(0) => {}
            Some(_) => return Waits::Never(other.name.clone()),
            None => waits = Waits::Yes,
        }
    }
    waits
}

fn skipped(member: &Member, why: &str) -> Outcome {
    Outcome {
        name: member.name.clone(),
        file: member.file.clone(),
        exit_status: None,
        document: Value::Null,
        said: why.to_owned(),
        seconds: 0.0,
    }
}

fn start(member: &Member, words: &[String], at_once: usize) -> Result<Child> {
    let failed = |error| Error::retry("this program cannot be started again").because(error);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("-c").arg(&member.file).args(words).args(["--json", "--quiet"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A part of the machine is meant for all that run at once.
    if let Some(percent) = member.percent.filter(|_| at_once > 1 && std::env::var_os(MEMORY).is_none()) {
        let share = usize::from(percent).div_euclid(at_once).max(1);
        command.env(MEMORY, format!("{share} %"));
    }
    command.spawn().map_err(failed)
}

async fn ended(at: usize, member: &Member, child: Child) -> (usize, Result<Outcome>) {
    let began = Instant::now();
    let output = child.wait_with_output().await;
    let outcome =
        output.map_err(|error| Error::retry("a process got lost").because(error)).map(|output| Outcome {
            name: member.name.clone(),
            file: member.file.clone(),
            exit_status: Some(status_of(output.status)),
            document: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            seconds: began.elapsed().as_secs_f64(),
        });
    (at, outcome)
}

/// The exit status; of a process that a signal ended, what a shell has for it.
fn status_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
