//! The resolved configuration as YAML, each line with the origin of its value.

use std::path::PathBuf;

use super::origin::Origins;
use super::pipeline::{
    AsOf, Dimension, Incremental, Initial, Late, Memory, Mode, OnTie, Pipeline, Source, Target,
};
use super::storage;
use super::tree::join;
use crate::notation::Days;

/// The column at which comments start, unless the value goes further.
const COMMENT_COLUMN: usize = 48;

/// `pipeline` as a pipeline file with nothing left out. Each line ends in a comment that names
/// where its value came from: `# orders.yaml:12:3`, `# HIGHWATER__AS_OF`, `# --as-of` or
/// `# default`. Values of `storage` show as `***`.
#[must_use]
pub fn show_resolved(pipeline: &Pipeline, origins: &Origins) -> String {
    let mut page = Page { lines: Vec::new(), origins };
    page.line("name", &text(&pipeline.name));
    page.source(&pipeline.source);
    page.target(&pipeline.target);
    page.line("unique_key", &texts(&pipeline.unique_key));
    page.line("updated_at", &text(&pipeline.version));
    let tie_breakers = pipeline.tie_breakers.iter().map(|by| {
        let direction = if by.descending { "desc" } else { "asc" };
        format!("{} {direction}", by.column)
    });
    page.line("tie_breakers", &texts(tie_breakers));
    page.line("on_tie", on_tie(pipeline.on_tie));
    page.line("as_of", &as_of(pipeline.as_of));
    page.incremental(&pipeline.incremental);
    page.section("dimensions", pipeline.dimensions.is_empty());
    for (name, dimension) in &pipeline.dimensions {
        page.dimension(name, dimension);
    }
    page.checks(&pipeline.checks);
    page.line("quarantine", &text(pipeline.quarantine.as_str()));
    page.line("audit", &text(pipeline.audit.as_str()));
    page.line("watermarks", &text(pipeline.watermarks.as_str()));
    page.line("attempts", &text(pipeline.attempts.as_str()));
    page.section("storage", pipeline.storage.is_empty());
    for (name, secret) in &pipeline.storage {
        // Their names may hold dots, which are no sections.
        page.entry(1, name, &join("storage", name), &text(&storage::shown(name, secret)));
    }
    page.line("memory", &memory(pipeline.memory));
    page.line("checks_timeout", &seconds(pipeline.checks_timeout.as_secs()));
    page.section("merge", false);
    page.line("merge.partitions_per_commit", &pipeline.partitions_per_commit.to_string());
    // Ends the last line too.
    page.lines.push(String::new());
    page.lines.join("\n")
}

pub(super) struct Page<'a> {
    lines: Vec<String>,
    pub(super) origins: &'a Origins,
}

impl Page<'_> {
    /// The key at `path` with its value, which is YAML already.
    pub(super) fn line(&mut self, path: &str, value: &str) {
        let key = path.rsplit('.').next().unwrap_or(path);
        self.entry(depth(path), key, path, value);
    }

    pub(super) fn entry(&mut self, depth: usize, key: &str, path: &str, value: &str) {
        let line = format!("{}{}: {value}", indent(depth), text(key));
        let origin = self.origins.of(path);
        self.lines.push(format!("{line:<COMMENT_COLUMN$} # {origin}"));
    }

    pub(super) fn section(&mut self, path: &str, empty: bool) {
        if empty {
            self.line(path, "{}");
        } else {
            let key = path.rsplit('.').next().unwrap_or(path);
            self.heading(depth(path), &text(key));
        }
    }

    /// A key whose value follows below it; it is YAML already.
    pub(super) fn heading(&mut self, depth: usize, key: &str) {
        self.lines.push(format!("{}{key}:", indent(depth)));
    }

    fn optional_path(&mut self, path: &str, value: Option<&PathBuf>) {
        if let Some(value) = value {
            self.line(path, &text(&value.to_string_lossy()));
        }
    }

    fn source(&mut self, source: &Source) {
        self.section("source", false);
        self.line("source.table", &text(source.table.as_str()));
        self.optional_path("source.ddl", source.ddl.as_ref());
        self.line("source.lineage", &texts(&source.lineage));
    }

    fn target(&mut self, target: &Target) {
        self.section("target", false);
        self.line("target.table", &text(target.table.as_str()));
        self.optional_path("target.ddl", target.ddl.as_ref());
        self.section("target.load_columns", false);
        self.line("target.load_columns.batch_id", &text(&target.load_columns.batch_id));
        self.line("target.load_columns.loaded_at", &text(&target.load_columns.loaded_at));
        self.line("target.load_columns.row_hash", &text(&target.load_columns.row_hash));
        self.line("target.exclude", &texts(&target.exclude));
    }

    fn incremental(&mut self, incremental: &Incremental) {
        self.section("incremental", false);
        let mode = match incremental.mode {
            Mode::Window => "window",
            Mode::Changes => "changes",
        };
        self.line("incremental.mode", mode);
        if let Some(column) = &incremental.column {
            self.line("incremental.column", &text(column));
        }
        self.line("incremental.lookback", &Days::of(incremental.lookback_days).to_string());
        self.line("incremental.lag", &Days::of(incremental.lag_days).to_string());
        let late = match incremental.late {
            Late::Load => "load",
            Late::Skip => "skip",
        };
        self.line("incremental.late", late);
        let initial = match incremental.initial.unwrap_or(Initial::All) {
            Initial::Lookback => "lookback".to_owned(),
            Initial::All => "all".to_owned(),
            Initial::Date(date) => date.to_string(),
        };
        self.line("incremental.initial", &initial);
    }

    fn dimension(&mut self, name: &str, dimension: &Dimension) {
        let path = join("dimensions", name);
        self.section(&path, false);
        self.line(&join(&path, "table"), &text(dimension.table.as_str()));
        self.optional_path(&join(&path, "ddl"), dimension.ddl.as_ref());
    }
}

fn depth(path: &str) -> usize {
    path.matches('.').count()
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

fn on_tie(on_tie: OnTie) -> &'static str {
    match on_tie {
        OnTie::Keep => "keep",
        OnTie::ReplaceIfDifferent => "replace_if_different",
        OnTie::Fail => "fail",
    }
}

fn as_of(as_of: AsOf) -> String {
    match as_of {
        AsOf::Today => "today".to_owned(),
        AsOf::Date(date) => date.to_string(),
    }
}

/// A time in the largest unit that it is whole in.
fn seconds(seconds: u64) -> String {
    let (number, unit) = match seconds {
        whole if whole.is_multiple_of(3_600) => (whole / 3_600, "hour"),
        whole if whole.is_multiple_of(60) => (whole / 60, "minute"),
        rest => (rest, "second"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

fn memory(memory: Memory) -> String {
    match memory {
        Memory::Percent(part) => format!("{part} %"),
        Memory::Bytes(bytes) => format!("{bytes} B"),
    }
}

pub(super) fn texts(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| text(value.as_ref())).collect();
    format!("[{}]", values.join(", "))
}

/// A text as YAML: bare where that cannot mean anything else, else as a JSON string, which YAML
/// reads the same.
pub(super) fn text(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/".contains(c));
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./- ".contains(c)) && !text.ends_with(' ');
    let word =
        matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if first && rest && !word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
