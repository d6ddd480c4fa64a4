//! The SQL of a pipeline's load, made from its load spec and the templates in `src/sql`.

mod held;
mod rank;
mod row_hash;
mod version;

use crate::config::{Late, Mode};
use crate::engine::sql::{Ident, Param, Params, Template, column};
use crate::model::types::DataType;
use crate::model::{Dialect, Literal};
use crate::notation::NullKeys;
use crate::plan::LoadSpec;
use crate::plan::window::{Arrived, ReadPlan};

pub use crate::model::sql::PREFIX;
/// What the relations of rows that do not meet the filter begin with.
pub const FILTERED: &str = "__hw_filtered_";
/// The row hash, in intermediate rows.
pub const HASH: &str = "__hw_hash";
/// The class, in located rows.
pub const CLASS: &str = "__hw_class";
/// Whether the target has a row of the key, in located rows.
pub const FOUND: &str = "__hw_found";
/// The path of a target row's file, in located rows.
pub const FILE: &str = "__hw_file";
/// The number of a target row in its file, in located rows.
pub const NUMBER: &str = "__hw_number";

/// Writes the SQL of one load spec.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    spec: &'a LoadSpec,
    dialect: Dialect,
}

impl<'a> Text<'a> {
    /// The SQL that this program runs.
    #[must_use]
    pub fn new(spec: &'a LoadSpec) -> Self {
        Self { spec, dialect: Dialect::Engine }
    }

    /// The SQL for Spark.
    #[must_use]
    pub fn for_spark(spec: &'a LoadSpec) -> Self {
        Self { spec, dialect: Dialect::Spark }
    }

    /// The rows that a batch takes, each with its hash. `arrived` names one relation for each source of late or new rows.
    #[must_use]
    pub fn staged(&self, reading: &ReadPlan, arrived: &[String]) -> String {
        Template::new(include_str!("../sql/staged.sql"))
            .set("row_hash", self.row_hash("r"))
            .set("taken", self.taken(reading, arrived))
            .finish()
    }

    /// The rows that a batch takes.
    #[must_use]
    pub fn taken(&self, reading: &ReadPlan, arrived: &[String]) -> String {
        let columns: Vec<String> = self.staged_columns().iter().map(|name| self.cast_column(name)).collect();
        Template::new(include_str!("../sql/taken.sql"))
            .set("columns", columns.join(",\n  "))
            .set(
                "sources",
                self.sources(reading, "staging", arrived, &self.of_staging()).join("\n  UNION ALL\n  "),
            )
            .finish()
    }

    /// How many staged rows lie below the window; `None` where no row can.
    #[must_use]
    pub fn late_count(&self, reading: &ReadPlan, arrived: &[String]) -> Option<String> {
        let below = self.below(reading)?;
        if self.spec.rules.incremental.late == Late::Load {
            return Some(format!("SELECT COUNT(*) AS `n` FROM staged AS s WHERE {below}"));
        }
        let sources: Vec<String> = match reading.arrived {
            Arrived::Everything => vec!["staging".to_owned()],
            Arrived::After(_) => arrived.to_vec(),
        };
        let parts: Vec<String> = sources
            .iter()
            .map(|source| format!("SELECT 1 AS `n` FROM {source} AS s WHERE {below}"))
            .collect();
        (!parts.is_empty())
            .then(|| format!("SELECT COUNT(*) AS `n` FROM ({}) AS late", parts.join(" UNION ALL ")))
    }

    /// How many rows of staging lie above the window; `None` where no row can.
    #[must_use]
    pub fn future_count(&self, reading: &ReadPlan) -> Option<String> {
        reading.window.to?;
        let column = self.date_column()?;
        Some(format!("SELECT COUNT(*) AS `n` FROM staging AS s WHERE s.{} >= $to_next", Ident(column)))
    }

    /// How many rows of staging lie before the start of a first batch; `None` where no row can.
    #[must_use]
    pub fn history_count(&self, reading: &ReadPlan) -> Option<String> {
        let below = self.below(reading).filter(|_| reading.first)?;
        let upto = format!("{} < $to_next", column("s", self.date_column()?));
        Some(format!("SELECT COUNT(*) AS `n` FROM staging AS s WHERE {below} AND {upto}"))
    }

    /// How many of the rows that a batch would take do not meet the filter; `None` where there is none.
    #[must_use]
    pub fn filtered_count(&self, reading: &ReadPlan, arrived: &[String]) -> Option<String> {
        self.spec.mapped.as_ref().filter(|_| reading.selection.is_none())?.filter.as_ref()?;
        let arrived: Vec<String> = arrived.iter().map(|name| format!("{FILTERED}{name}")).collect();
        let sources = self.sources(reading, &format!("{FILTERED}staging"), &arrived, "1 AS `n`");
        Some(format!("SELECT COUNT(*) AS `n` FROM ({}) AS filtered", sources.join(" UNION ALL ")))
    }

    /// How many of the rows that may be looked at do not meet the filter, whatever their day.
    #[must_use]
    pub fn all_filtered_count(&self, reading: &ReadPlan, arrived: &[String]) -> String {
        let changes = self.spec.rules.incremental.mode == Mode::Changes;
        let relations: Vec<String> = match reading.arrived {
            Arrived::After(_) if changes => arrived.iter().map(|name| format!("{FILTERED}{name}")).collect(),
            _ => vec![format!("{FILTERED}staging")],
        };
        let parts: Vec<String> =
            relations.iter().map(|name| format!("SELECT 1 AS `n` FROM {name}")).collect();
        format!("SELECT COUNT(*) AS `n` FROM ({}) AS filtered", parts.join(" UNION ALL "))
    }

    /// The parameters of the statements that read staging.
    #[must_use]
    pub fn window_params(&self, reading: &ReadPlan) -> Params {
        let Some(data_type) = self.date_column().map(|name| self.source_type(name)) else {
            return Params::new();
        };
        let bound = |day: chrono::NaiveDate| match data_type {
            Some(DataType::Timestamp) => Param::Timestamp(day.and_time(chrono::NaiveTime::MIN).and_utc()),
            _ => Param::Date(day),
        };
        let mut params = Params::new();
        if let Some(from) = reading.window.from {
            params.push(("from", bound(from)));
        }
        if let Some(next) = reading.window.to.and_then(|to| to.succ_opt()) {
            params.push(("to_next", bound(next)));
        }
        params
    }

    /// Every complete staged row with its rank in its key.
    #[must_use]
    pub fn ranked(&self) -> String {
        Template::new(include_str!("../sql/ranked.sql"))
            .set("key", self.key_list("s"))
            .set("version", self.version("s"))
            .set("order", self.order("s"))
            .set("complete", self.complete("s"))
            .finish()
    }

    /// How the dedupe split the ranked rows.
    #[must_use]
    pub fn dedupe_counts(&self) -> String {
        Template::new(include_str!("../sql/dedupe_counts.sql"))
            .set("key", self.key_list("s"))
            .set("version", self.version("s"))
            .finish()
    }

    /// The latest version of each key.
    #[must_use]
    pub fn deduped(&self) -> String {
        let columns: Vec<String> = self.staged_columns().iter().map(|name| Ident(name).to_string()).collect();
        Template::new(include_str!("../sql/deduped.sql")).set("columns", columns.join(", ")).finish()
    }

    /// The columns that say which partition a row goes to, and which its match lies in.
    #[must_use]
    pub fn partition_columns(&self) -> Vec<String> {
        let names = &self.spec.partition_columns;
        names.iter().cloned().chain((0..names.len()).map(target_partition)).collect()
    }

    /// The name of the partition that a row goes to.
    #[must_use]
    pub fn new_partition(&self) -> String {
        partition_name(
            self.spec.partition_columns.iter().map(|name| (name.as_str(), name.clone())),
            self.dialect,
        )
    }

    /// The name of the partition that a row's match lies in.
    #[must_use]
    pub fn old_partition(&self) -> String {
        let columns = self.spec.partition_columns.iter().enumerate();
        partition_name(columns.map(|(index, name)| (name.as_str(), target_partition(index))), self.dialect)
    }

    /// The condition that key, version and watermark column are not NULL.
    #[must_use]
    pub fn complete(&self, alias: &str) -> String {
        let parts: Vec<String> =
            self.required().iter().map(|name| format!("{} IS NOT NULL", column(alias, name))).collect();
        parts.join(" AND ")
    }

    /// Columns that may not be NULL: key, unless NULL is a value there, version and watermark column.
    #[must_use]
    pub fn required(&self) -> Vec<&'a str> {
        let rules = &self.spec.rules;
        let key = rules.unique_key.iter().filter(|_| rules.null_keys == NullKeys::Reject);
        let mut names: Vec<&str> = key.map(String::as_str).collect();
        names.extend(rules.version_columns().map(String::as_str));
        if let Some(column) = self.date_column()
            && !names.contains(&column)
        {
            names.push(column);
        }
        names
    }

    /// Columns that tell a person which row is meant: the key and where the row came from.
    #[must_use]
    pub fn identifying(&self) -> Vec<&'a str> {
        let rules = &self.spec.rules;
        rules.unique_key.iter().chain(&rules.lineage).map(String::as_str).collect()
    }

    /// Staging's columns in intermediate rows: loaded ones first, then the others: all of them order rows, and a
    /// row that is kept out is kept whole.
    #[must_use]
    pub fn staged_columns(&self) -> Vec<&'a str> {
        let loaded = self.spec.columns.iter().map(|column| column.name.as_str());
        loaded.chain(self.spec.extra_columns.iter().map(|field| field.name.as_str())).collect()
    }

    fn of_staging(&self) -> String {
        let columns: Vec<String> = self.staged_columns().iter().map(|name| column("s", name)).collect();
        columns.join(", ")
    }

    /// The `columns` of the rows that a batch takes, from the relation `staging` and from those of rows that arrived.
    fn sources(&self, reading: &ReadPlan, staging: &str, arrived: &[String], columns: &str) -> Vec<String> {
        let select = |from: &str, condition: Option<String>| {
            let filter = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
            format!("SELECT {columns} FROM {from} AS s{filter}")
        };
        let incremental = &self.spec.rules.incremental;
        let everything = reading.arrived == Arrived::Everything;
        if incremental.mode == Mode::Changes {
            if everything {
                return vec![select(staging, None)];
            }
            let mut sources: Vec<String> = arrived.iter().map(|from| select(from, None)).collect();
            if sources.is_empty() {
                sources.push(select(staging, Some("FALSE".to_owned())));
            }
            return sources;
        }
        let date = self.date_column().map(|name| column("s", name));
        // A replay has no window: it takes the entries that a person chose.
        let Some(date) = date.filter(|_| reading.window.to.is_some()) else {
            return vec![select(staging, None)];
        };
        let load_late = incremental.late == Late::Load;
        let unbounded = reading.window.from.is_none() || (load_late && everything);
        let upto = format!("{date} < $to_next");
        let within = if unbounded { upto } else { format!("{date} >= $from AND {upto}") };
        let mut sources = vec![select(staging, Some(format!("({within}) OR {date} IS NULL")))];
        if load_late
            && !everything
            && let Some(below) = self.below(reading)
        {
            sources.extend(arrived.iter().map(|from| select(from, Some(below.clone()))));
        }
        sources
    }

    fn below(&self, reading: &ReadPlan) -> Option<String> {
        reading.window.from?;
        Some(format!("{} < $from", column("s", self.date_column()?)))
    }

    fn date_column(&self) -> Option<&'a str> {
        self.spec.rules.incremental.column.as_deref()
    }

    fn source_type(&self, name: &str) -> Option<&'a DataType> {
        let extra = self.spec.extra_columns.iter().find(|field| field.name == name);
        self.spec.column(name).map(|loaded| &loaded.source).or(extra.map(|field| &field.data_type))
    }

    fn cast_column(&self, name: &str) -> String {
        let mut source = column("r", name);
        let is_partition = self.spec.partition_columns.iter().any(|column| column == name);
        if is_partition && self.spec.column(name).is_some_and(|loaded| loaded.source == DataType::String) {
            // Delta keeps an empty string as a partition value no other than NULL.
            source = format!("NULLIF({source}, '')");
        }
        match self.spec.column(name) {
            Some(loaded) if loaded.source != loaded.target => {
                format!("{} AS {}", widened(&source, &loaded.target), Ident(name))
            }
            _ => format!("{source} AS {}", Ident(name)),
        }
    }

    fn key_list(&self, alias: &str) -> String {
        let names: Vec<String> = self.spec.rules.unique_key.iter().map(|key| column(alias, key)).collect();
        names.join(", ")
    }

    /// The condition that two relations have the same key.
    #[must_use]
    pub fn on_key(&self, left: &str, right: &str) -> String {
        let parts: Vec<String> = self
            .spec
            .rules
            .unique_key
            .iter()
            .map(|key| self.spec.rules.null_keys.same(&column(left, key), &column(right, key)))
            .collect();
        parts.join(" AND ")
    }

    /// Loaded columns but for the version: what the hash covers.
    fn payload_and_key(&self) -> impl Iterator<Item = &'a str> {
        let version = &self.spec.rules.version;
        self.spec.columns.iter().map(|column| column.name.as_str()).filter(move |name| name != version)
    }

    /// Loaded columns but for key and version.
    fn payload(&self) -> impl Iterator<Item = &'a str> {
        let spec = self.spec;
        self.payload_and_key().filter(move |name| !spec.is_key(name))
    }
}

/// A value as a type that its own widens to. Only numbers widen; whatever else has such a type has it already, and the
/// engine's cast to TIMESTAMP would go through nanoseconds, in which far years do not fit.
#[must_use]
pub fn widened(value: &str, to: &DataType) -> String {
    use DataType::{Byte, Decimal, Double, Float, Int, Long, Short};
    match to {
        Byte | Short | Int | Long | Float | Double | Decimal(_, _) => format!("CAST({value} AS {to})"),
        _ => value.to_owned(),
    }
}

/// The condition that all of these hold, of which none is ever NULL. One call, not a chain of operators: that
/// would be as deep as a table is wide.
#[must_use]
pub fn all_of(mut conditions: Vec<String>) -> String {
    match conditions.len() {
        0 => "TRUE".to_owned(),
        1 => conditions.remove(0),
        _ => format!("LEAST({})", conditions.join(", ")),
    }
}

/// The condition that any of these holds, likewise.
#[must_use]
pub fn any_of(mut conditions: Vec<String>) -> String {
    match conditions.len() {
        0 => "FALSE".to_owned(),
        1 => conditions.remove(0),
        _ => format!("GREATEST({})", conditions.join(", ")),
    }
}

/// The column of located rows that holds the target row's value of a partition column.
#[must_use]
pub fn target_partition(index: usize) -> String {
    format!("{PREFIX}t_p{index}")
}

/// The SQL of a partition's name.
fn partition_name<'b>(columns: impl Iterator<Item = (&'b str, String)>, dialect: Dialect) -> String {
    let parts: Vec<String> = columns
        .map(|(name, column)| {
            let name = Literal::text(format!("{name}=")).sql(dialect);
            let text = format!("CAST({} AS STRING)", Ident(&column));
            // The string is not the value that is missing.
            let missing = Literal::text("'NULL'").sql(dialect);
            format!("{name} || COALESCE(CASE {text} WHEN 'NULL' THEN {missing} ELSE {text} END, 'NULL')")
        })
        .collect();
    if parts.is_empty() { "''".to_owned() } else { parts.join(" || '/' || ") }
}
