//! Looks at everything that a run needs, and says of each thing whether it is as it should be and what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{Location, Origins, Pipeline};
use crate::context::{available_memory, memory_limit, open_in};
use crate::error::{Error, Kind, Result};
use crate::lake::{Lake, TableFacts};
use crate::model::Clock;

/// From how far on a clock is worth a look: S3 refuses requests at 15 minutes.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// From so many commits since the last checkpoint on, opening a table takes long.
const COMMITS: u64 = 100;
/// A request that takes longer makes each look slow.
const SLOW: Duration = Duration::from_millis(500);

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A run works, and something is worth a look.
    Warn,
    /// A run does not work.
    Fail,
}

impl Verdict {
    /// The verdict's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is: `config`, `memory`, `table fact_orders`, …
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// In words.
    pub told: String,
    /// What to do, where something is to be done.
    pub hint: Option<String>,
}

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorReport {
    /// The pipeline.
    pub pipeline: String,
    /// In the order in which a run needs them.
    pub findings: Vec<Finding>,
    /// The exit status that `run` would end with before it reads a row: 0 where it would begin.
    pub exit_status: u8,
}

struct Doctor {
    findings: Vec<Finding>,
    exit_status: u8,
}

impl Doctor {
    /// Whether pipeline file and tables fit together, and in what staging's columns changed.
    async fn fit(&mut self, lake: &Lake, pipeline: Pipeline, origins: &Origins) {
        let name = pipeline.name.clone();
        let mut opened = match open_in(lake, pipeline, origins).await {
            Ok(opened) => opened,
            Err(error) => return self.fail("fit", &error),
        };
        match opened.problem_of_next().await {
            Ok(None) => self.ok("fit", format!("{name}: pipeline file, columns and checks fit the tables")),
            Ok(Some(problem)) | Err(problem) => self.fail("fit", &problem),
        }
        let changed: Vec<String> = opened.columns.told().into_iter().map(|drift| drift.column).collect();
        if !changed.is_empty() {
            let told = format!("{name}: staging's columns differ from the target's: {}", changed.join(", "));
            self.warn("columns", told, "`highwater drift` shows them, and what is done about each");
        }
    }

    fn ok(&mut self, what: impl Into<String>, told: impl Into<String>) {
        self.add(what, Verdict::Ok, told, None);
    }

    fn warn(&mut self, what: impl Into<String>, told: impl Into<String>, hint: &str) {
        self.add(what, Verdict::Warn, told, Some(hint.to_owned()));
    }

    fn fail(&mut self, what: impl Into<String>, error: &Error) {
        // The first failure is what a run would end with.
        if self.exit_status == 0 {
            self.exit_status = error.kind().exit_status();
        }
        self.add(what, Verdict::Fail, error.chain(), error.hint_text().map(str::to_owned));
    }

    fn add(
        &mut self,
        what: impl Into<String>,
        verdict: Verdict,
        told: impl Into<String>,
        hint: Option<String>,
    ) {
        self.findings.push(Finding { what: what.into(), verdict, told: told.into(), hint });
    }

    /// Memory, and room for rows that do not fit in it.
    fn machine(&mut self, pipeline: &Pipeline) {
        let (limit, there) = (memory_limit(pipeline.memory) as u64, available_memory());
        let told = format!("{} of {}", amount(limit), amount(there));
        if limit > there {
            self.warn(
                "memory",
                told,
                "`memory` is more than there is: the system may kill the process; lower it",
            );
        } else {
            self.ok("memory", told);
        }
        let folder = std::env::temp_dir();
        match free_space(&folder) {
            Some(free) => {
                let told = format!("{} free in {}", amount(free), folder.display());
                if free < limit {
                    self.warn(
                        "temporary folder",
                        told,
                        "a batch that does not fit `memory` waits there: free some space, or name another by TMPDIR",
                    );
                } else {
                    self.ok("temporary folder", told);
                }
            }
            None => self.warn(
                "temporary folder",
                format!("{} cannot be looked at", folder.display()),
                "name a folder that is there and can be written by TMPDIR",
            ),
        }
    }

    /// Where S3 is, and who asks. Whether there is any use in going on.
    async fn s3(&mut self, lake: &Lake) -> bool {
        let aws = match lake.aws().await {
            Ok(aws) => aws,
            Err(error) => {
                self.fail("storage", &error);
                return false;
            }
        };
        let region = aws.region();
        self.ok("region", format!("{}, from {}", region.value, region.from));
        match aws.endpoint() {
            Some(endpoint) => self.ok("endpoint", format!("{}, from {}", endpoint.value, endpoint.from)),
            None => self.ok("endpoint", "AWS"),
        }
        match aws.identity().await {
            Ok(None) => self.ok("credentials", "none: requests go unsigned"),
            Ok(Some(who)) => {
                let account = who.account.map(|account| format!(", account {account}")).unwrap_or_default();
                let until = match who.until {
                    None => "for good".to_owned(),
                    Some(until) => format!("until {}", until.format("%Y-%m-%dT%H:%M:%SZ")),
                };
                // An id is no secret, and its end tells it from others.
                let end: String =
                    who.key_id.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
                self.ok("credentials", format!("key …{end}{account}, from {}, {until}", who.from));
                if aws.is_aws() {
                    match aws.caller().await {
                        Ok(caller) => self.ok("identity", caller),
                        // A network may let S3 through, and no other service.
                        Err(error) => self.warn(
                            "identity",
                            error.chain(),
                            "who this is is for STS to say; a run does not ask it",
                        ),
                    }
                }
            }
            Err(error) => {
                self.fail("credentials", &error);
                return false;
            }
        }
        true
    }

    /// Looks at a table. Whether there is any use in going on.
    async fn table(&mut self, lake: &Lake, role: &str, location: &Location, now: DateTime<Utc>) -> bool {
        let what = format!("{role} {}", location.name());
        let facts = match lake.open(location.name(), location).await {
            Ok(table) => table.facts().await,
            Err(error) => Err(error),
        };
        match facts {
            Err(error) => {
                self.fail(what, &error);
                // A store that is away is so for each table.
                return error.kind() != Kind::Retry;
            }
            Ok(facts) => {
                let since = facts.version.saturating_sub(facts.checkpoint.map_or(0, |(version, _)| version));
                let told = facts_in_words(&facts, now, role == "target");
                if since >= COMMITS {
                    self.warn(
                        what,
                        told,
                        "opening it reads every commit since its last checkpoint: whoever writes it should make some \
                         (delta.checkpointInterval)",
                    );
                } else {
                    self.ok(what, told);
                }
            }
        }
        true
    }

    async fn store(&mut self, lake: &Lake, location: &Location) {
        match lake.try_store(location).await {
            Err(error) => self.fail("store", &error),
            Ok(trial) => {
                let told = format!(
                    "of two racing PUTs one won; conditional PUT {} ms, GET {} ms",
                    trial.put.as_millis(),
                    trial.get.as_millis()
                );
                if trial.put.max(trial.get) > SLOW {
                    self.warn("store", told, "it answers slowly: run in the bucket's region");
                } else {
                    self.ok("store", told);
                }
            }
        }
    }

    async fn clock(&mut self, lake: &Lake) {
        let Ok(aws) = lake.aws().await else { return };
        let Some(ahead) = aws.health().ahead else { return };
        // Dates of answers have whole seconds.
        let told = format!("{} s apart from the store's", ahead.num_seconds().abs());
        if ahead.abs() > SKEW {
            self.warn(
                "clock",
                told,
                "S3 refuses requests at 15 minutes: set this machine's clock, best by NTP",
            );
        } else {
            self.ok("clock", told);
        }
    }
}

/// Looks at everything that a run needs. Nothing is changed, but for a file that is tried and taken away again.
///
/// # Errors
/// None by what is found: that is in the report.
pub async fn doctor(path: &Path, loaded: Result<(Pipeline, Origins)>, clock: Clock) -> Result<DoctorReport> {
    let mut doctor = Doctor { findings: Vec::new(), exit_status: 0 };
    let (pipeline, origins) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            doctor.fail("config", &error);
            let Doctor { findings, exit_status } = doctor;
            return Ok(DoctorReport { pipeline: path.display().to_string(), findings, exit_status });
        }
    };
    doctor.ok("config", path.display().to_string());
    doctor.machine(&pipeline);
    // In the order in which a run opens them.
    let mut tables = vec![
        ("watermarks", &pipeline.watermarks),
        ("audit", &pipeline.audit),
        ("quarantine", &pipeline.quarantine),
        ("target", &pipeline.target.table),
        ("staging", &pipeline.source.table),
    ];
    tables.extend(pipeline.dimensions.values().map(|dimension| ("dimension", &dimension.table)));
    let lake = Lake::of(&pipeline);
    let on_s3 = tables.iter().any(|(_, location)| location.as_str().starts_with("s3"));
    if !on_s3 || doctor.s3(&lake).await {
        let now = clock.now();
        for (role, location) in &tables {
            if !doctor.table(&lake, role, location, now).await {
                break;
            }
        }
        if on_s3 && doctor.exit_status == 0 {
            // Of a local disk it is known.
            doctor.store(&lake, &pipeline.target.table).await;
        }
        if on_s3 {
            doctor.clock(&lake).await;
        }
        if doctor.exit_status == 0 {
            // What is left is whether all of it fits together.
            doctor.fit(&lake, pipeline.clone(), &origins).await;
        }
    }
    let Doctor { findings, exit_status } = doctor;
    Ok(DoctorReport { pipeline: pipeline.name, findings, exit_status })
}

fn facts_in_words(facts: &TableFacts, now: DateTime<Utc>, is_target: bool) -> String {
    let features =
        if facts.features.is_empty() { String::new() } else { format!(", {}", facts.features.join(", ")) };
    let checkpoint = match facts.checkpoint {
        None => "no checkpoint yet".to_owned(),
        Some((version, at)) => {
            format!(
                "checkpoint of version {version} {} old",
                days(now.signed_duration_since(at).to_std().unwrap_or_default())
            )
        }
    };
    let rollback = if is_target {
        format!(
            "; a rollback reaches version {} at most: VACUUM may take replaced files after {}, clean-up log entries after {}",
            facts.oldest,
            days(facts.file_retention),
            days(facts.log_retention)
        )
    } else {
        String::new()
    };
    format!("version {}{features}, {checkpoint}{rollback}", facts.version)
}

fn days(time: Duration) -> String {
    let hours = time.as_secs() / 3_600;
    match (hours / 24, hours) {
        (0, 0) => "less than an hour".to_owned(),
        (0, 1) => "an hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "a day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

fn amount(bytes: u64) -> String {
    let mebibytes = bytes >> 20;
    if mebibytes < 10 << 10 { format!("{mebibytes} MiB") } else { format!("{} GiB", mebibytes >> 10) }
}

/// Bytes that may be written in a folder.
fn free_space(folder: &PathBuf) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_decides_the_status_and_a_warning_none() {
        let mut doctor = Doctor { findings: Vec::new(), exit_status: 0 };
        doctor.warn("memory", "much", "lower it");
        assert_eq!(doctor.exit_status, 0);
        doctor.fail("credentials", &Error::retry("away"));
        doctor.fail("store", &Error::usage("wrong"));
        assert_eq!(doctor.exit_status, 3);
    }

    #[test]
    fn times_are_told_roughly() {
        let hours = |hours| days(Duration::from_hours(hours));
        assert_eq!(
            [hours(0), hours(1), hours(23), hours(25), hours(168)],
            ["less than an hour", "an hour", "23 hours", "a day", "7 days"]
        );
    }
}
