//! The resolved configuration as YAML, each line with the origin of its value.

use std::fmt::Display;

use serde::Serialize;

use super::files::Files;
use super::mapping::Select;
use super::origin::Origins;
use super::pipeline::Pipeline;
use super::resolve::is_name;
use super::storage;
use super::tree::join;
use crate::checks::{Check, Shown};
use crate::notation::{Days, VersionColumn, VersionOrder};

/// The column at which comments start, unless the value goes further.
const COMMENT_COLUMN: usize = 48;

/// `pipeline` as a pipeline file with nothing left out. Each line ends in a comment that names
/// where its value came from: `# orders.yaml:12:3`, `# HIGHWATER__AS_OF`, `# --as-of` or
/// `# default`. Values of `storage` show as `***`.
#[must_use]
pub fn show_resolved(pipeline: &Pipeline, origins: &Origins) -> String {
    let mut lines = Vec::new();
    write(&entries_of(pipeline, origins), 0, origins, &mut lines);
    // Ends the last line too.
    lines.push(String::new());
    lines.join("\n")
}

/// A key of the file with what stands there.
struct Entry {
    key: String,
    /// Where it stands, for its origin.
    path: String,
    value: Value,
}

enum Value {
    /// YAML.
    Leaf(String),
    Section(Vec<Entry>),
    /// A list of sections, each an entry.
    Items(Vec<Entry>),
}

impl Entry {
    /// The key at this path, whose last part it is called by.
    fn at(path: &str, value: Value) -> Self {
        let key = path.rsplit('.').next().unwrap_or(path).to_owned();
        Self { key, path: path.to_owned(), value }
    }

    fn leaf(path: &str, yaml: impl Display) -> Self {
        Self::at(path, Value::Leaf(yaml.to_string()))
    }

    fn text(path: &str, value: impl AsRef<str>) -> Self {
        Self::leaf(path, text(value.as_ref()))
    }

    fn optional(path: &str, value: Option<impl AsRef<str>>) -> Option<Self> {
        value.map(|value| Self::text(path, value))
    }

    fn section(path: &str, entries: impl IntoIterator<Item = Option<Self>>) -> Self {
        Self::at(path, Value::Section(entries.into_iter().flatten().collect()))
    }
}

/// The section of the files that come before staging.
fn files(files: &Files) -> Entry {
    let at = |key: &str| join("source.files", key);
    let character = |byte: u8| if byte == b'\t' { "\\t".to_owned() } else { char::from(byte).to_string() };
    let path = format!("{}/{}", files.folder.as_str(), files.pattern);
    let settle = (files.settle_seconds > 0).then(|| format!("{} seconds", files.settle_seconds));
    Entry::section(
        "source.files",
        [
            Some(Entry::text(&at("path"), path)),
            Entry::optional(&at("format"), files.format.as_ref().map(named)),
            Some(Entry::text(&at("delimiter"), character(files.csv.delimiter))),
            Some(Entry::text(&at("quote"), character(files.csv.quote))),
            Entry::optional(&at("escape"), files.csv.escape.map(character)),
            Some(Entry::leaf(&at("header"), files.csv.header)),
            Some(Entry::text(&at("null"), &files.csv.null)),
            Entry::optional(&at("encoding"), files.encoding.as_ref()),
            Entry::optional(&at("settle"), settle),
            Some(Entry::leaf(&at("changed"), named(&files.changed))),
            Some(Entry::leaf(&at("on_corrupt"), named(&files.on_corrupt))),
            Some(Entry::text(&at("max_corrupt"), files.max_corrupt.to_string())),
            Some(Entry::text(&at("ledger"), files.ledger.as_str())),
            Some(Entry::text(&at("corrupt"), files.corrupt.as_str())),
        ],
    )
}

/// All keys of a pipeline file, in their order.
fn entries_of(pipeline: &Pipeline, origins: &Origins) -> Vec<Entry> {
    let Pipeline { source, target, incremental, .. } = pipeline;
    let ddl = |path: &str, ddl: &Option<std::path::PathBuf>| {
        Entry::optional(path, ddl.as_ref().map(|ddl| ddl.to_string_lossy()))
    };
    let columns = &target.load_columns;
    let load_columns = [
        Some(Entry::text("target.load_columns.batch_id", &columns.batch_id)),
        Some(Entry::text("target.load_columns.loaded_at", &columns.loaded_at)),
        Some(Entry::text("target.load_columns.row_hash", &columns.row_hash)),
    ];
    let dimensions = pipeline.dimensions.iter().map(|(name, dimension)| {
        let path = join("dimensions", name);
        let table = Entry::text(&join(&path, "table"), dimension.table.as_str());
        Some(Entry::section(&path, [Some(table), ddl(&join(&path, "ddl"), &dimension.ddl)]))
    });
    let storage = pipeline.storage.iter().map(|(name, secret)| {
        // Their names may hold dots, which are no sections.
        let leaf = Entry::text(&join("storage", name), storage::shown(name, secret));
        Some(Entry { key: name.clone(), ..leaf })
    });
    let (of_columns, of_table): (Vec<&Check>, Vec<&Check>) =
        pipeline.checks.iter().partition(|check| check.column.is_some());
    let mapped = source.mapping.columns.keys().chain(&pipeline.pii).map(String::as_str);
    let mut columns: Vec<&str> = of_columns.iter().filter_map(|check| check.column.as_deref()).collect();
    for name in mapped {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    columns.dedup();
    let by_column = columns.into_iter().map(|column| {
        let path = join("columns", column);
        let mapped = source.mapping.columns.get(column);
        let from = mapped.and_then(|mapped| mapped.from.as_ref());
        let default = mapped.and_then(|mapped| mapped.default.as_ref());
        let checks: Vec<&Check> =
            of_columns.iter().copied().filter(|check| check.column.as_deref() == Some(column)).collect();
        let checks = (!checks.is_empty()).then(|| Entry::at(&join(&path, "checks"), items(&checks, origins)));
        let mask = mapped.and_then(|mapped| mapped.mask).map(|mask| named(&mask));
        let aliases = mapped.map(|mapped| &mapped.aliases).filter(|aliases| !aliases.is_empty());
        let own = [
            Entry::optional(&join(&path, "from"), from),
            aliases.map(|aliases| Entry::leaf(&join(&path, "aliases"), texts(aliases))),
            Entry::optional(&join(&path, "default"), default),
            Entry::optional(&join(&path, "mask"), mask),
            pipeline.pii.contains(column).then(|| Entry::leaf(&join(&path, "pii"), true)),
        ];
        let section = Entry::section(&path, own.into_iter().chain([checks]));
        Some(Entry { key: column.to_owned(), ..section })
    });
    let select = match &source.mapping.select {
        Select::All => Some(Entry::text("source.select", "all")),
        Select::Mapped => Some(Entry::text("source.select", "mapped")),
        Select::Except(names) => {
            let except = Entry::leaf("source.select.except", texts(names));
            Some(Entry::section("source.select", [Some(except)]))
        }
    };
    let explode = source.mapping.explode.as_ref().map(|explode| {
        let own = [
            Some(Entry::text("source.explode.column", &explode.column)),
            Some(Entry::text("source.explode.as", &explode.element)),
            Entry::optional("source.explode.position", explode.position.as_ref()),
        ];
        Entry::section("source.explode", own)
    });
    let mut entries = vec![
        Entry::text("name", &pipeline.name),
        Entry::section(
            "source",
            [
                Some(Entry::text("source.table", source.table.as_str())),
                ddl("source.ddl", &source.ddl),
                source.files.as_ref().map(files),
                Some(Entry::leaf("source.lineage", texts(&source.lineage))),
                explode,
                Entry::optional("source.where", source.mapping.filter.as_ref()),
                select,
            ],
        ),
        Entry::section(
            "target",
            [
                Some(Entry::text("target.table", target.table.as_str())),
                ddl("target.ddl", &target.ddl),
                target
                    .partitioned_by
                    .as_ref()
                    .map(|names| Entry::leaf("target.partitioned_by", texts(names))),
                Some(Entry::section("target.load_columns", load_columns)),
                Some(Entry::leaf("target.exclude", texts(&target.exclude))),
            ],
        ),
        Entry::leaf("unique_key", texts(&pipeline.unique_key)),
        version(pipeline),
        Entry::leaf("tie_breakers", texts(pipeline.tie_breakers.iter().map(ToString::to_string))),
        Entry::leaf("on_tie", named(&pipeline.on_tie)),
        Entry::leaf("null_keys", named(&pipeline.null_keys)),
        Entry::leaf("as_of", pipeline.as_of),
        Entry::section(
            "incremental",
            [
                Some(Entry::leaf("incremental.mode", named(&incremental.mode))),
                Entry::optional("incremental.column", incremental.column.as_ref()),
                Some(Entry::leaf("incremental.lookback", Days::of(incremental.lookback_days))),
                Some(Entry::leaf("incremental.lag", Days::of(incremental.lag_days))),
                Some(Entry::leaf("incremental.late", named(&incremental.late))),
                Some(Entry::leaf("incremental.initial", incremental.initial.unwrap_or_default())),
            ],
        ),
        Entry::section("dimensions", dimensions),
        Entry::section("columns", by_column),
        Entry::at("checks", items(&of_table, origins)),
        Entry::text("quarantine", pipeline.quarantine.as_str()),
        Entry::text("audit", pipeline.audit.as_str()),
        Entry::text("watermarks", pipeline.watermarks.as_str()),
        Entry::text("attempts", pipeline.attempts.as_str()),
        Entry::section("storage", storage),
        Entry::leaf("memory", pipeline.memory),
        Entry::leaf("checks_timeout", seconds(pipeline.checks_timeout.as_secs())),
        Entry::section(
            "schema",
            [
                Some(Entry::leaf("schema.new_column", named(&pipeline.schema.new_column))),
                Some(Entry::leaf("schema.dropped_column", named(&pipeline.schema.dropped_column))),
                Some(Entry::leaf("schema.unfit_type", named(&pipeline.schema.unfit_type))),
                Some(Entry::leaf("schema.evolve", named(&pipeline.schema.evolve))),
                Some(Entry::leaf("schema.rules", named(&pipeline.schema.rules))),
            ],
        ),
        Entry::section(
            "merge",
            [
                Some(Entry::leaf("merge.strategy", named(&pipeline.strategy))),
                Some(Entry::leaf("merge.partitions_per_commit", pipeline.partitions_per_commit)),
                Some(Entry::leaf("merge.sort_by", texts(&pipeline.sort_by))),
                Some(Entry::section(
                    "merge.purge",
                    [
                        Some(Entry::leaf("merge.purge.dead_rows", pipeline.purge.dead_rows)),
                        Some(Entry::leaf("merge.purge.small_files", pipeline.purge.small_files)),
                    ],
                )),
            ],
        ),
    ];
    entries.extend(pipeline.mask_key.as_ref().map(|key| Entry::text("mask_key", key.to_string())));
    entries.extend(pipeline.deadline.map(|limit| Entry::leaf("deadline", seconds(limit.as_secs()))));
    let alerts = pipeline.alerts.iter().map(|alert| {
        let on: Vec<String> = alert.on.iter().map(named).collect();
        format!("{{sns: {}, on: [{}]}}", text(&alert.sns), on.join(", "))
    });
    let alerts: Vec<String> = alerts.collect();
    entries.push(Entry::leaf("alerts", format!("[{}]", alerts.join(", "))));
    entries
}

/// Checks, each with its keys.
fn items(checks: &[&Check], origins: &Origins) -> Value {
    let item = |check: &&Check| {
        let path = origins.check_path(&check.name);
        let own = check.kind.kind().keys(check.column.is_some());
        let own = own.into_iter().map(|(key, value)| Some(Entry::leaf(&join(path, key), shown(&value))));
        let threshold = |key: &str, threshold: Option<crate::notation::Threshold>| {
            Entry::optional(&join(path, key), threshold.map(|threshold| threshold.to_string()))
        };
        // A name that is made from a column's may hold what a name that is given may not.
        let name = is_name(&check.name).then(|| Entry::text(&join(path, "name"), &check.name));
        let common = [
            Some(Entry::leaf(&join(path, "action"), check.action.as_str())),
            Entry::optional(&join(path, "where"), check.filter.as_ref()),
            threshold("warn_if", check.warn_if),
            threshold("error_if", check.error_if),
        ];
        let section = Entry::section(path, std::iter::once(name).chain(own).chain(common));
        Entry { key: check.kind.as_str().to_owned(), ..section }
    };
    Value::Items(checks.iter().map(item).collect())
}

/// The version: a column, or several, each with the order of its texts.
fn version(pipeline: &Pipeline) -> Entry {
    let column = |by: &VersionColumn| match by.order {
        VersionOrder::Own => text(&by.column),
        order => format!("{{column: {}, order: {}}}", text(&by.column), order.name()),
    };
    match pipeline.sequence.as_slice() {
        [] => Entry::text("updated_at", &pipeline.version),
        [only] => Entry::leaf("updated_at", column(only)),
        several => {
            let columns: Vec<String> = several.iter().map(column).collect();
            Entry::leaf("sequence_by", format!("[{}]", columns.join(", ")))
        }
    }
}

/// Writes entries, whatever they are.
fn write(entries: &[Entry], depth: usize, origins: &Origins, lines: &mut Vec<String>) {
    for Entry { key, path, value } in entries {
        let (indent, key) = ("  ".repeat(depth), text(key));
        let mut leaf = |yaml: &str| {
            let line = format!("{indent}{key}: {yaml}");
            lines.push(format!("{line:<COMMENT_COLUMN$} # {}", origins.of(path)));
        };
        match value {
            Value::Leaf(yaml) => leaf(yaml),
            Value::Section(below) if below.is_empty() => leaf("{}"),
            Value::Items(items) if items.is_empty() => leaf("[]"),
            Value::Section(below) => {
                lines.push(format!("{indent}{key}:"));
                write(below, depth + 1, origins, lines);
            }
            Value::Items(items) => {
                lines.push(format!("{indent}{key}:"));
                for item in items {
                    lines.push(format!("{indent}  - {}:", item.key));
                    if let Value::Section(below) = &item.value {
                        write(below, depth + 3, origins, lines);
                    }
                }
            }
        }
    }
}

/// The name of a choice.
fn named(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|name| name.as_str().map(text)).unwrap_or_default()
}

/// A value of a check's key as YAML.
fn shown(value: &Shown) -> String {
    match value {
        Shown::Text(value) => text(value),
        Shown::Texts(values) => texts(values),
        Shown::Bare(value) => value.clone(),
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

fn texts(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| text(value.as_ref())).collect();
    format!("[{}]", values.join(", "))
}

/// A text as YAML: bare where that cannot mean anything else, else as a JSON string, which YAML
/// reads the same.
fn text(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/".contains(c));
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./- ".contains(c)) && !text.ends_with(' ');
    let word =
        matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if first && rest && !word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
