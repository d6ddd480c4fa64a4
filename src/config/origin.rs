//! Where a value came from: the file with its position, the environment, a flag, or the defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::tree::join;

/// The key that a bare string is short for, where a table is meant: `source: t` is
/// `source: {table: t}`.
pub(super) const SHORTHAND_KEY: &str = "table";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The pipeline file as a whole, where no position in it is to blame.
    WholeFile(Arc<str>),
    /// A position in the pipeline file.
    File {
        /// The file, as the user named it.
        file: Arc<str>,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// An environment variable, by its full name.
    Env(String),
    /// A command line flag, as the user types it.
    Flag(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WholeFile(file) => f.write_str(file),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The origin of every value of a pipeline file, by dotted path (`incremental.lookback`,
/// `tie_breakers.0`).
#[derive(Debug, Clone)]
pub struct Origins {
    root: Origin,
    entries: BTreeMap<String, Entry>,
    /// The paths of checks by name: which item of a list a check is, only the file knows.
    checks: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    origin: Origin,
    /// A scalar may be the short form of a section or a list.
    scalar: bool,
}

impl Origins {
    pub(super) fn new(root: Origin) -> Self {
        Self { root, entries: BTreeMap::new(), checks: BTreeMap::new() }
    }

    pub(super) fn record_checks(&mut self, paths: BTreeMap<String, String>) {
        self.checks = paths;
    }

    /// The path of the check with this name, such as `columns.email.checks.0.regex`.
    pub(super) fn check_path(&self, name: &str) -> &str {
        self.checks.get(name).map_or("checks", String::as_str)
    }

    /// Where the check with this name stands, or the key of it, such as `sql`; the file, for one that is built in.
    #[must_use]
    pub fn of_check(&self, name: &str, key: &str) -> Origin {
        match self.checks.get(name) {
            Some(path) => self.position(&join(path, key)),
            None => self.root.clone(),
        }
    }

    /// The places of all checks that stand in the file, by name.
    #[must_use]
    pub fn of_checks(&self) -> BTreeMap<String, Origin> {
        self.checks.iter().map(|(name, path)| (name.clone(), self.position(path))).collect()
    }

    pub(super) fn record(&mut self, path: &str, origin: &Origin, scalar: bool) {
        let origin = origin.clone();
        self.entries.insert(path.to_owned(), Entry { origin, scalar });
    }

    /// Where the value at `path` came from; [`Origin::Default`] if nobody set it.
    #[must_use]
    pub fn of(&self, path: &str) -> Origin {
        match self.nearest(path) {
            Some((at, entry)) if at == path || (entry.scalar && is_short_for(at, path)) => {
                entry.origin.clone()
            }
            _ => Origin::Default,
        }
    }

    /// The place to point at for a problem with `path`: where it was set, else the nearest section
    /// around it.
    #[must_use]
    pub fn position(&self, path: &str) -> Origin {
        match self.nearest(path) {
            Some((_, entry)) => entry.origin.clone(),
            None => self.root.clone(),
        }
    }

    fn nearest<'p>(&self, path: &'p str) -> Option<(&'p str, &Entry)> {
        let mut at = path;
        loop {
            if let Some(entry) = self.entries.get(at) {
                return Some((at, entry));
            }
            at = at.rsplit_once('.')?.0;
        }
    }
}

/// Whether a scalar at `at` stands for the value at `path` below it: a table's, or the only item of
/// a list.
fn is_short_for(at: &str, path: &str) -> bool {
    let below = path.strip_prefix(at).and_then(|below| below.strip_prefix('.'));
    below.is_some_and(|below| below == SHORTHAND_KEY || below.parse::<usize>().is_ok())
}
