//! Files into staging: which files, and the one next step.
//!
//! Staging's commit decides: it holds the rows, the number of the ingest, and a record that names data files of the two
//! other tables, written before it. Then follow the rows that could not be read, and the ledger, whose commit is the moment
//! an ingest counts as done; both are commits that read nothing. So staging ≥ corrupt ≥ ledger, and a run looks at them in
//! the reverse order.
//!
//! - **A** Ledger and staging have the same number: the next ingest begins.
//! - **B** Staging is one ahead: that ingest is unfinished. **B1** its rows that could not be read are not there yet: they
//!   are written; **B2** else the ledger is.
//! - **C** Staging is one ahead, and its log does not say with what: a person decides.
//! - **D** Staging is further ahead: others finished an ingest while it looked; it looks again.
//! - **E** Staging is behind: it is another table than the ledger tells of. **E1** a person reset the ledger for this one:
//!   the next ingest begins; **E2** else a person decides.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::config::Changed;
use crate::model::{FileRow, FileStatus, IngestRecord, RawFile};

/// What was seen of a pipeline's ingests.
#[derive(Debug, Clone, Default)]
pub struct IngestSeen {
    /// The number in the ledger.
    pub ledger: i64,
    /// The number in the table of rows that could not be read: of the last ingest that had some.
    pub corrupt: i64,
    /// The number in staging.
    pub staging: i64,
    /// What staging's log says of that number, where the ledger has not got it.
    pub record: Option<Box<IngestRecord>>,
    /// Whether the ledger's newest row was written for this staging table.
    pub is_for_this_staging: bool,
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum IngestStep {
    /// Bring in what is new, under this number.
    Begin(i64),
    /// Append the rows that could not be read.
    WriteCorrupt(Box<IngestRecord>),
    /// Append to the ledger.
    WriteLedger(Box<IngestRecord>),
    /// What was seen is of different moments.
    LookAgain,
    /// A person decides.
    Refuse(&'static str, &'static str),
}

/// Decides, by the cases of the module.
#[must_use]
pub fn decide_ingest(seen: IngestSeen) -> IngestStep {
    match (seen.staging - seen.ledger, seen.record) {
        // A
        (0, _) => IngestStep::Begin(seen.staging + 1),
        // B1
        (1, Some(record)) if !record.corrupt.is_empty() && seen.corrupt < record.number => {
            IngestStep::WriteCorrupt(record)
        }
        // B2
        (1, Some(record)) => IngestStep::WriteLedger(record),
        // C
        (1, None) => IngestStep::Refuse(
            "an ingest is unfinished, and staging's log no longer says which files it brought in",
            "bring that entry of its `_delta_log` back",
        ),
        // D
        (ahead, _) if ahead > 1 => IngestStep::LookAgain,
        // E1
        _ if seen.is_for_this_staging => IngestStep::Begin(seen.ledger + 1),
        // E2
        _ => IngestStep::Refuse(
            "staging is another table than the one that the ledger's files were brought into",
            "correct `source.table`; or have every file brought in again: `highwater bookmarks reset --all`",
        ),
    }
}

/// The newest row of each path.
#[must_use]
pub fn newest_of_each(rows: Vec<FileRow>) -> BTreeMap<String, FileRow> {
    let mut newest: BTreeMap<String, FileRow> = BTreeMap::new();
    for row in rows {
        match newest.get_mut(&row.path) {
            Some(known) if known.order() > row.order() => {}
            Some(known) => *known = row,
            None => drop(newest.insert(row.path.clone(), row)),
        }
    }
    newest
}

/// What is to become of the files that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted {
    /// To be brought in, by path.
    pub take: Vec<RawFile>,
    /// Of these, those that came in before with other content.
    pub changed: Vec<String>,
    /// Changed, and not to be brought in again.
    pub refused: Vec<String>,
    /// Too young, so far.
    pub waiting: usize,
    /// Known, and as they were.
    pub known: usize,
    /// Known as loaded, and no longer there.
    pub vanished: usize,
}

/// Sorts what a listing found by what the ledger knows. A listing is trusted for neither time nor order.
#[must_use]
pub fn sort_files(
    mut found: Vec<RawFile>,
    ledger: &BTreeMap<String, FileRow>,
    changed: Changed,
    settle: TimeDelta,
    now: DateTime<Utc>,
) -> Sorted {
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    let there: BTreeSet<&str> = found.iter().map(|file| file.path.as_str()).collect();
    let gone =
        ledger.values().filter(|row| row.status == FileStatus::Loaded && !there.contains(row.path.as_str()));
    let mut sorted = Sorted { vanished: gone.count(), ..Sorted::default() };
    for file in found {
        let known = ledger.get(&file.path);
        let is_same = known.is_some_and(|row| row.size == file.size && row.tag == file.tag);
        match known.map(|row| row.status) {
            Some(FileStatus::Loaded | FileStatus::Skipped) if is_same => sorted.known += 1,
            _ if settle > TimeDelta::zero() && file.modified > now - settle => sorted.waiting += 1,
            Some(FileStatus::Loaded | FileStatus::Skipped) => {
                if changed == Changed::Refuse {
                    sorted.refused.push(file.path);
                } else {
                    sorted.changed.push(file.path.clone());
                    sorted.take.push(file);
                }
            }
            _ => sorted.take.push(file),
        }
    }
    sorted
}

/// The id of an ingest: the same on any machine for the same files.
#[must_use]
pub fn ingest_id(pipeline: &str, number: i64, files: &[RawFile]) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(pipeline);
    add(&number.to_string());
    for file in files {
        add(&file.path);
        add(&file.size.to_string());
        add(&file.tag);
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: i64, corrupt: bool) -> Box<IngestRecord> {
        Box::new(IngestRecord {
            pipeline: "p".to_owned(),
            number,
            batch_id: "b".to_owned(),
            started: DateTime::UNIX_EPOCH,
            rows: 1,
            ledger_id: "l".to_owned(),
            ledger: vec![1.into()],
            corrupt_id: "c".to_owned(),
            corrupt: if corrupt { vec![1.into()] } else { Vec::new() },
        })
    }

    fn seen(staging: i64, corrupt: i64, ledger: i64, record: Option<Box<IngestRecord>>) -> IngestSeen {
        IngestSeen { ledger, corrupt, staging, record, is_for_this_staging: false }
    }

    #[test]
    fn case_a_nothing_unfinished_begins_the_next() {
        assert_eq!(decide_ingest(seen(0, 0, 0, None)), IngestStep::Begin(1));
        assert_eq!(decide_ingest(seen(4, 2, 4, None)), IngestStep::Begin(5));
    }

    #[test]
    fn case_b_an_unfinished_ingest_gets_its_corrupt_rows_and_then_its_ledger_rows() {
        let with = record(5, true);
        assert_eq!(decide_ingest(seen(5, 2, 4, Some(with.clone()))), IngestStep::WriteCorrupt(with.clone()));
        assert_eq!(decide_ingest(seen(5, 5, 4, Some(with.clone()))), IngestStep::WriteLedger(with));
        let without = record(5, false);
        assert_eq!(decide_ingest(seen(5, 2, 4, Some(without.clone()))), IngestStep::WriteLedger(without));
    }

    #[test]
    fn case_c_an_unfinished_ingest_that_no_log_tells_of_is_a_persons() {
        assert!(matches!(decide_ingest(seen(5, 2, 4, None)), IngestStep::Refuse(..)));
    }

    #[test]
    fn case_d_a_look_that_others_overtook_is_repeated() {
        assert_eq!(decide_ingest(seen(6, 2, 4, None)), IngestStep::LookAgain);
    }

    #[test]
    fn case_e_another_staging_table_is_refused_unless_a_person_reset_the_ledger_for_it() {
        assert!(matches!(decide_ingest(seen(0, 2, 4, None)), IngestStep::Refuse(..)));
        let reset = IngestSeen { is_for_this_staging: true, ..seen(0, 2, 4, None) };
        assert_eq!(decide_ingest(reset), IngestStep::Begin(5));
    }

    fn file(path: &str, tag: &str) -> RawFile {
        RawFile { path: path.to_owned(), size: 1, tag: tag.to_owned(), modified: DateTime::UNIX_EPOCH }
    }

    fn row(path: &str, tag: &str, status: FileStatus, number: i64) -> FileRow {
        FileRow {
            pipeline: "p".to_owned(),
            path: path.to_owned(),
            size: 1,
            tag: tag.to_owned(),
            status,
            rows: 1,
            corrupt_rows: 0,
            number,
            batch_id: None,
            staging_id: "s".to_owned(),
            error: None,
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn files_are_taken_by_what_the_newest_row_of_their_path_says() {
        use FileStatus::{Failed, Loaded, Reset, Skipped};
        let ledger = newest_of_each(vec![
            row("again", "1", Reset, 2),
            row("again", "1", Loaded, 1),
            row("failed", "1", Failed, 1),
            row("gone", "1", Loaded, 1),
            row("other", "1", Loaded, 1),
            row("same", "1", Loaded, 1),
            row("skipped", "1", Skipped, 1),
            row("mended", "1", Skipped, 1),
        ]);
        let found = ["same", "skipped", "new", "other", "failed", "again", "mended"];
        let found: Vec<RawFile> = found
            .iter()
            .map(|path| file(path, if ["other", "mended"].contains(path) { "2" } else { "1" }))
            .collect();
        let now = DateTime::UNIX_EPOCH;
        let sorted = sort_files(found.clone(), &ledger, Changed::Reload, TimeDelta::zero(), now);
        let taken: Vec<&str> = sorted.take.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(taken, ["again", "failed", "mended", "new", "other"]);
        assert_eq!(
            (sorted.known, sorted.vanished, sorted.changed.as_slice()),
            (2, 1, &["mended".to_owned(), "other".to_owned()][..])
        );
        let sorted = sort_files(found.clone(), &ledger, Changed::Refuse, TimeDelta::zero(), now);
        assert_eq!((sorted.refused, sorted.take.len()), (vec!["mended".to_owned(), "other".to_owned()], 3));
        // As young as the hour that they are to rest.
        let sorted = sort_files(found, &ledger, Changed::Reload, TimeDelta::hours(1), now);
        assert_eq!((sorted.waiting, sorted.take.len(), sorted.known), (5, 0, 2));
    }

    /// The three tables as a model has them, with two files to bring in, one in each ingest.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
    struct World {
        /// The commits of staging: the number of each, and its file.
        staging: Vec<(i64, u8)>,
        corrupt: Vec<i64>,
        ledger: Vec<(i64, u8)>,
        /// Commits by others, so that versions move.
        foreign: u8,
        processes: Vec<Process>,
    }

    /// A process: what it saw so far of one look, and the step that it decided on.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
    struct Process {
        ledger: Option<usize>,
        corrupt: Option<usize>,
        staging: Option<(usize, u8)>,
        is_done: bool,
        /// Leaves out that staging is looked at last: a mutant.
        looks_the_other_way: bool,
    }

    const TO_BRING: [u8; 2] = [1, 2];

    impl World {
        fn of(processes: usize, looks_the_other_way: bool) -> Self {
            let process = Process { looks_the_other_way, ..Process::default() };
            Self { processes: vec![process; processes], ..Self::default() }
        }

        /// What becomes of the world if this process does its next bit, or is killed and begins anew.
        fn next(&self, at: usize) -> Vec<Self> {
            let process = &self.processes[at];
            if process.is_done {
                return Vec::new();
            }
            let anew = Process { looks_the_other_way: process.looks_the_other_way, ..Process::default() };
            let mut killed = self.clone();
            killed.processes[at] = anew.clone();
            let mut after = self.clone();
            let own = &mut after.processes[at];
            let staging = (self.staging.len(), self.foreign);
            match (process.looks_the_other_way, own.ledger, own.corrupt, own.staging) {
                (true, _, _, None) => own.staging = Some(staging),
                (_, None, _, _) => own.ledger = Some(self.ledger.len()),
                (_, _, None, _) => own.corrupt = Some(self.corrupt.len()),
                (_, _, _, None) => own.staging = Some(staging),
                (_, Some(ledger), Some(corrupt), Some(staging)) => {
                    own.clone_from(&anew);
                    after.act(at, ledger, corrupt, staging);
                }
            }
            vec![after, killed]
        }

        fn act(&mut self, at: usize, ledger: usize, corrupt: usize, staging: (usize, u8)) {
            let seen_staging = &self.staging[..staging.0];
            let number = |commits: &[(i64, u8)]| commits.last().map_or(0, |(number, _)| *number);
            let seen = IngestSeen {
                ledger: number(&self.ledger[..ledger]),
                corrupt: self.corrupt[..corrupt].last().copied().unwrap_or_default(),
                staging: number(seen_staging),
                record: seen_staging.last().map(|(number, _)| record(*number, true)),
                is_for_this_staging: false,
            };
            match decide_ingest(seen) {
                IngestStep::Begin(number) => {
                    let known: Vec<u8> = self.ledger[..ledger].iter().map(|(_, file)| *file).collect();
                    match TO_BRING.into_iter().find(|file| !known.contains(file)) {
                        None => self.processes[at].is_done = true,
                        // Onto the version that was looked at, or not at all.
                        Some(file) if (self.staging.len(), self.foreign) == staging => {
                            self.staging.push((number, file));
                        }
                        Some(_) => {}
                    }
                }
                IngestStep::WriteCorrupt(record) if self.corrupt.len() == corrupt => {
                    self.corrupt.push(record.number);
                }
                IngestStep::WriteLedger(record) if self.ledger.len() == ledger => {
                    let file = self.staging.iter().find(|(number, _)| *number == record.number).unwrap().1;
                    self.ledger.push((record.number, file));
                }
                IngestStep::WriteCorrupt(_) | IngestStep::WriteLedger(_) | IngestStep::LookAgain => {}
                IngestStep::Refuse(why, _) => panic!("refused: {why}: {self:?}"),
            }
        }

        fn is_right(&self) -> bool {
            let files = |commits: &[(i64, u8)]| commits.iter().map(|(_, file)| *file).collect::<Vec<u8>>();
            let is_once = |numbers: &[i64]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
            let in_order =
                self.staging.len() >= self.corrupt.len() && self.corrupt.len() >= self.ledger.len();
            let ends = self.processes.iter().any(|process| process.is_done);
            in_order
                && is_once(&self.corrupt)
                && files(&self.staging).iter().enumerate().all(|(at, file)| TO_BRING[at] == *file)
                && (!ends
                    || (files(&self.staging) == TO_BRING
                        && files(&self.ledger) == TO_BRING
                        && self.corrupt.len() == 2))
        }
    }

    /// Every state that so many processes can come to, killed at any moment, beside another writer of staging.
    fn explore(begin: World) -> Result<usize, World> {
        let (mut seen, mut left) = (std::collections::HashSet::from([begin.clone()]), vec![begin]);
        while let Some(world) = left.pop() {
            if !world.is_right() {
                return Err(world);
            }
            let mut after: Vec<World> = (0..world.processes.len()).flat_map(|at| world.next(at)).collect();
            if world.foreign == 0 {
                after.push(World { foreign: 1, ..world.clone() });
            }
            left.extend(after.into_iter().filter(|world| seen.insert(world.clone())));
        }
        Ok(seen.len())
    }

    #[test]
    fn processes_killed_at_any_moment_bring_each_file_in_once() {
        for processes in 1..=3 {
            let states = explore(World::of(processes, false)).unwrap();
            assert!(states > 5 * 10_usize.pow(u32::try_from(processes).unwrap()), "{processes}: {states}");
        }
    }

    #[test]
    fn a_look_in_the_order_of_writing_is_noticed() {
        let wrong = std::panic::catch_unwind(|| explore(World::of(2, true)).is_err());
        assert!(wrong.unwrap_or(true));
    }

    #[test]
    fn the_id_of_an_ingest_follows_from_its_files_alone() {
        let files = [file("a", "1"), file("b", "1")];
        assert_eq!(ingest_id("p", 1, &files), ingest_id("p", 1, &files));
        assert_ne!(ingest_id("p", 1, &files), ingest_id("p", 2, &files));
        assert_ne!(ingest_id("p", 1, &files), ingest_id("p", 1, &files[..1]));
    }
}
