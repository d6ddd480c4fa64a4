//! The SQL of a pipeline's checks, made from its load spec and the templates in `src/sql`.

use super::rows::quoted;
use super::text::{HASH, PREFIX, Text, any_of};
use crate::config::bound::{Bound, equal, lower, upper};
use crate::config::{Check, CheckKind};
use crate::engine::sql::{Ident, Template, column};
use crate::error::{Error, Result};
use crate::model::types::DataType;
use crate::model::{Action, Dialect, Literal};
use crate::plan::LoadSpec;

/// The rows that are checked: those that the dedupe left, each with its class.
pub const GATED: &str = "gated";
/// The relation of a row's class that has none, because it lacks a required value.
pub const ALONE: &str = "alone";
/// The relation of the batch's rows, also those that are not judged. Named so that no dimension is called the same.
pub const ALL: &str = "__hw_all";
/// The relation of rows that are not judged, because they were before and stay out.
pub const JUDGED: &str = "__hw_judged";
/// The relation of the pipeline's entries in the quarantine.
pub const ENTRIES: &str = "__hw_entries";
/// The longest text of a value that an entry tells, in characters: the row is there as it was.
pub const LONGEST: usize = 200;

/// What is told of a row's entry.
const KNOWN: &str = "e.`__hw_known`, e.`__hw_status`, e.`__hw_by_load`";

/// A check that looks at each row, as SQL over the alias `s`.
struct Condition<'a> {
    check: &'a Check,
    index: usize,
    /// What the row is held against, as a join to `s`; may be empty.
    join: String,
    /// True where the row fails.
    fails: String,
}

impl Condition<'_> {
    /// Whether rows that fail are kept with what they broke.
    fn leaves_entries(&self) -> bool {
        self.check.kind.is_of_rows() && self.check.action != Action::Warn
    }
}

/// Writes the SQL of one load spec's checks.
pub struct CheckText<'a> {
    spec: &'a LoadSpec,
    conditions: Vec<Condition<'a>>,
}

impl<'a> CheckText<'a> {
    /// The SQL of the load spec's checks.
    ///
    /// # Errors
    /// Fails where a bound is no value of its column's type.
    pub fn new(spec: &'a LoadSpec) -> Result<Self> {
        let mut conditions = Vec::new();
        for (index, check) in spec.checks.iter().enumerate() {
            if let Some((join, fails)) = condition(spec, check, index)? {
                conditions.push(Condition { check, index, join, fails });
            }
        }
        Ok(Self { spec, conditions })
    }

    /// The rows of the batch. `alone` says whether there are rows that lack a required value.
    #[must_use]
    pub fn all(&self, alone: bool) -> String {
        let columns = quoted(&Text::new(self.spec).staged_columns());
        let class = Ident("__hw_class");
        let mut sql = format!("SELECT {columns}, {}, {class} FROM classified", Ident(HASH));
        if alone {
            sql.push_str(&format!(
                " UNION ALL SELECT {columns}, {}, '{ALONE}' AS {class} FROM {ALONE}",
                Ident(HASH)
            ));
        }
        sql
    }

    /// The rows that are checked, where some are not judged again.
    #[must_use]
    pub fn gated(&self) -> String {
        format!("SELECT s.* FROM {ALL} AS s LEFT ANTI JOIN {JUDGED} AS e ON {}", self.on_known())
    }

    /// The rows of the batch that the quarantine knows as kept out by a load in effect, or as discarded; each with its
    /// entry.
    #[must_use]
    pub fn judged_before(&self) -> String {
        format!(
            "SELECT s.*, {KNOWN}, e.`__hw_known_hash`, e.`__hw_known_version`, e.`__hw_known_undated`\n\
             FROM {ALL} AS s\nJOIN {ENTRIES} AS e ON {}\n\
             WHERE e.`__hw_status` = 'discarded' OR (e.`__hw_status` = 'open' AND e.`__hw_by_load`)",
            self.on_known()
        )
    }

    /// The entries of rows that a load in effect kept out, and that still fail a check which `keeps_out` picks.
    #[must_use]
    pub fn still_fails(&self, keeps_out: impl Fn(&Check) -> bool) -> String {
        Template::new(include_str!("../sql/still_fails.sql"))
            .set("fails", self.any(&keeps_out))
            .set("flagged", self.flagged("", true, |condition| keeps_out(condition.check)))
            .finish()
    }

    /// The rows that a query of the pipeline file sees as `batch`.
    #[must_use]
    pub fn batch(&self) -> String {
        format!("SELECT {} FROM {GATED}", quoted(&Text::new(self.spec).staged_columns()))
    }

    /// The keys that a query of the pipeline file returns.
    #[must_use]
    pub fn query_keys(&self, query: &str) -> String {
        let keys = &self.spec.rules.unique_key;
        let columns: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| format!("{} AS {}", column("q", key), key_column(at)))
            .collect();
        format!(
            "SELECT DISTINCT {} FROM (\n{}\n) AS q",
            columns.join(", "),
            query.trim().trim_end_matches(';')
        )
    }

    /// Everything that is counted, in one pass: for each check, rows examined, rows that fail, and how many of
    /// those would be written, and for `freshness` the newest day; then rows that break any check which is more than
    /// a warning, and how many of those tie with the target.
    #[must_use]
    pub fn counts(&self) -> String {
        let mut outer = Vec::new();
        for condition in &self.conditions {
            let index = condition.index;
            outer.push(format!("COUNT(CASE WHEN `__hw_w{index}` THEN 1 END) AS `examined{index}`"));
            outer.push(format!("COUNT(CASE WHEN `__hw_f{index}` THEN 1 END) AS `failed{index}`"));
            outer.push(format!(
                "COUNT(CASE WHEN `__hw_f{index}` AND `__hw_held` THEN 1 END) AS `held{index}`"
            ));
            if matches!(condition.check.kind, CheckKind::Freshness { .. }) {
                let version = Ident(&self.spec.rules.version);
                outer.push(format!(
                    "MAX(CASE WHEN `__hw_w{index}` THEN CAST({version} AS DATE) END) AS `newest{index}`"
                ));
            }
        }
        let broken = self.any(|check| check.action != Action::Warn);
        outer.push(format!("COUNT(CASE WHEN {broken} THEN 1 END) AS `broken`"));
        outer.push(format!("COUNT(CASE WHEN {broken} AND `__hw_tied` THEN 1 END) AS `__hw_tied`"));
        Template::new(include_str!("../sql/check_counts.sql"))
            .set("counts", outer.join(",\n  "))
            .set("flagged", self.flagged("", false, |_| true))
            .finish()
    }

    /// Rows of the batch that break a check or are known to the quarantine, each with its flags.
    #[must_use]
    pub fn broken(&self, pipeline: &str, known: bool) -> String {
        let mut columns = format!(",\n  {} AS `__hw_entry_id`", Text::new(self.spec).entry_id("s", pipeline));
        if !known {
            columns.push_str(
                ",\n  CAST(NULL AS STRING) AS `__hw_known`, CAST(NULL AS STRING) AS `__hw_status`, \
                 FALSE AS `__hw_by_load`",
            );
        }
        for condition in self.conditions.iter().filter(|condition| condition.leaves_entries()) {
            if let Some(name) = &condition.check.column {
                columns.push_str(&format!(",\n  {} AS `__hw_x{}`", self.text_of(name), condition.index));
            }
        }
        Template::new(include_str!("../sql/broken.sql"))
            .set("broken", self.any(|check| check.action != Action::Warn))
            .set("kept_out", self.any(|check| check.action == Action::Quarantine))
            .set("flagged", self.flagged(&columns, known, |_| true))
            .set("order", Text::new(self.spec).order("c"))
            .finish()
    }

    /// The beginning of a column's value as an entry tells it. Nested values have no text.
    fn text_of(&self, name: &str) -> String {
        let value = column("s", name);
        let text = match self.spec.data_type(name) {
            Some(DataType::Binary) => format!("hex({value})"),
            Some(nested) if nested.is_nested() => return "CAST(NULL AS STRING)".to_owned(),
            _ => format!("CAST({value} AS STRING)"),
        };
        // One more than is told, so that what is cut off shows.
        format!("SUBSTR({text}, 1, {})", LONGEST + 1)
    }

    /// Some of the rows that fail check number `index`, by key and lineage.
    #[must_use]
    pub fn examples(&self, index: usize, limit: usize) -> String {
        let shown = quoted(&Text::new(self.spec).identifying());
        format!(
            "SELECT {shown} FROM (\n{}\n) AS c WHERE `__hw_f{index}` ORDER BY {shown} LIMIT {limit}",
            self.flagged("", false, |condition| condition.index == index)
        )
    }

    /// Numbers of the checks that look at each row.
    pub fn of_rows(&self) -> impl Iterator<Item = usize> {
        self.conditions.iter().map(|condition| condition.index)
    }

    /// Each row with what it was examined for and what it fails, of the checks that `which` picks; where the
    /// quarantine has entries, with the row's.
    fn flagged(&self, columns: &str, known: bool, which: impl Fn(&Condition<'_>) -> bool) -> String {
        let class = column("s", "__hw_class");
        let mut parts = vec![
            format!("{class} IN ('inserted', 'updated', '{ALONE}') AS `__hw_held`"),
            format!("{class} = 'tied' AS `__hw_tied`"),
        ];
        let mut joins = Vec::new();
        if known {
            parts.push(KNOWN.to_owned());
            joins.push(format!("\nLEFT JOIN {ENTRIES} AS e ON {}", self.on_known()));
        }
        for condition in self.conditions.iter().filter(|condition| which(condition)) {
            let Condition { check, index, fails, join } = condition;
            // Each on lines of its own, so that a comment in the pipeline file ends there.
            let examined =
                check.filter.as_ref().map_or_else(|| "TRUE".to_owned(), |sql| format!("(\n{sql}\n)"));
            parts.push(format!("COALESCE({examined}, FALSE) AS `__hw_w{index}`"));
            // A row that is not examined may not even be able to be: `where` may guard a division.
            parts
                .push(format!("COALESCE(CASE WHEN {examined} THEN ({fails}) END, FALSE) AS `__hw_f{index}`"));
            joins.push(join.clone());
        }
        Template::new(include_str!("../sql/flagged.sql"))
            .set("flags", parts.join(",\n  "))
            .set("columns", columns)
            .set("joins", joins.concat())
            .finish()
    }

    /// What tells a row's entry: its id in a replay, else what makes the id.
    fn on_known(&self) -> String {
        if self.spec.is_of_entries() {
            return "e.`__hw_known` = s.`dq_entry_id`".to_owned();
        }
        let undated = self.spec.unhashed_date().map(|name| column("s", name));
        let undated = undated.map(|date| format!(" AND e.`__hw_known_undated` = ({date} IS NULL)"));
        format!(
            "e.`__hw_known_hash` = {} AND (e.`__hw_known_version` IS NOT DISTINCT FROM {}){}",
            column("s", HASH),
            column("s", &self.spec.rules.version),
            undated.unwrap_or_default(),
        )
    }

    /// The condition that a row fails any of the checks that `which` picks. A rate has no rows of its own.
    fn any(&self, which: impl Fn(&Check) -> bool) -> String {
        let flags: Vec<String> = self
            .conditions
            .iter()
            .filter(|condition| condition.check.kind.is_of_rows() && which(condition.check))
            .map(|condition| format!("`__hw_f{}`", condition.index))
            .collect();
        any_of(flags)
    }
}

/// An aggregate of the pipeline file: its value, that value as text, and whether it is out of bounds.
///
/// # Errors
/// Fails where a bound is no value of the aggregate's type.
pub fn aggregate(check: &Check, data_type: &DataType) -> Result<Option<String>> {
    let CheckKind::Aggregate { sql, min, max } = &check.kind else { return Ok(None) };
    let mut out = Vec::new();
    if let Some(min) = min {
        out.push(outside("<", lower(min, data_type).map_err(|why| unfit(check, &why))?));
    }
    if let Some(max) = max {
        out.push(outside(">", upper(max, data_type).map_err(|why| unfit(check, &why))?));
    }
    Ok(Some(
        Template::new(include_str!("../sql/aggregate.sql"))
            .set("aggregate", sql)
            .set("filter", check.filter.as_deref().unwrap_or("TRUE"))
            .set("out", out.join(" OR "))
            .finish(),
    ))
}

fn outside(sign: &str, bound: Bound) -> String {
    match bound {
        Bound::Literal(literal) => format!("`value` {sign} {}", engine(&literal)),
        Bound::Always => "FALSE".to_owned(),
        Bound::Never => "`value` IS NOT NULL".to_owned(),
    }
}

/// The name of the relation with the keys that check number `index` returns.
#[must_use]
pub fn query_relation(index: usize) -> String {
    format!("{PREFIX}q{index}")
}

/// The name of a key column in such a relation.
#[must_use]
pub fn key_column(at: usize) -> String {
    Ident(&format!("{PREFIX}k{at}")).to_string()
}

/// The relation of a dimension, which never collides with one of our own.
#[must_use]
pub fn dimension_relation(name: &str) -> String {
    format!("{PREFIX}dim_{name}")
}

/// The join and the failing condition of a check that looks at each row.
fn condition(spec: &LoadSpec, check: &Check, index: usize) -> Result<Option<(String, String)>> {
    let own = check.column.as_deref().map(|name| column("s", name)).unwrap_or_default();
    let of_own = || {
        let name = check.column.as_deref().unwrap_or_default();
        spec.data_type(name).ok_or_else(|| Error::bug(format!("check {} has no column", check.name)))
    };
    let alias = format!("`{PREFIX}c{index}`");
    let (join, fails) = match &check.kind {
        // The rate of a key column is measured on staged rows.
        CheckKind::NullRate { .. } if check.column.as_deref().is_some_and(|name| spec.is_key(name)) => {
            return Ok(None);
        }
        CheckKind::NotNull | CheckKind::NullRate { .. } => (String::new(), format!("{own} IS NULL")),
        CheckKind::Unique { columns } => unique(check, columns, &alias),
        CheckKind::AcceptedValues { values } => {
            let mut literals = Vec::new();
            for value in values {
                if let Bound::Literal(literal) = equal(value, of_own()?).map_err(|why| unfit(check, &why))? {
                    literals.push(engine(&literal));
                }
            }
            let fails = if literals.is_empty() {
                format!("{own} IS NOT NULL")
            } else {
                format!("{own} NOT IN ({})", literals.join(", "))
            };
            (String::new(), fails)
        }
        CheckKind::AcceptedRange { min, max } => {
            let mut parts = Vec::new();
            if let Some(min) = min {
                parts.push(beyond(&own, "<", lower(min, of_own()?).map_err(|why| unfit(check, &why))?));
            }
            if let Some(max) = max {
                parts.push(beyond(&own, ">", upper(max, of_own()?).map_err(|why| unfit(check, &why))?));
            }
            (String::new(), parts.join(" OR "))
        }
        CheckKind::Regex { pattern } => {
            (String::new(), format!("NOT regexp_like({own}, {})", engine(&Literal::text(pattern))))
        }
        CheckKind::Relationships { to, field } => {
            let found = format!("{alias}.`{PREFIX}found`");
            let join = format!(
                "\nLEFT JOIN (SELECT DISTINCT {} AS `{PREFIX}found` FROM {}) AS {alias} ON {own} = {found}",
                Ident(field),
                Ident(&dimension_relation(to)),
            );
            (join, format!("{own} IS NOT NULL AND {found} IS NULL"))
        }
        CheckKind::Expression { sql } => (String::new(), format!("NOT (\n{sql}\n)")),
        CheckKind::Sql { .. } => {
            let keys = spec.rules.unique_key.iter().enumerate();
            let on: Vec<String> =
                keys.map(|(at, key)| format!("{} = {alias}.{}", column("s", key), key_column(at))).collect();
            let join =
                format!("\nLEFT JOIN {} AS {alias} ON {}", Ident(&query_relation(index)), on.join(" AND "));
            (join, format!("{alias}.{} IS NOT NULL", key_column(0)))
        }
        CheckKind::Freshness { .. } => (String::new(), "FALSE".to_owned()),
        CheckKind::RowCount { .. }
        | CheckKind::RowCountChange { .. }
        | CheckKind::DuplicateRate { .. }
        | CheckKind::Aggregate { .. }
        | CheckKind::Schema { .. } => return Ok(None),
    };
    Ok(Some((join, fails)))
}

/// The values that more than one examined row has; a NULL in any column makes a row unlike all others.
fn unique(check: &Check, columns: &[String], alias: &str) -> (String, String) {
    let named = |at: usize| format!("`{PREFIX}u{at}`");
    let selected: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, name)| format!("{} AS {}", column("s", name), named(at)))
        .collect();
    let filled: Vec<String> =
        columns.iter().map(|name| format!("{} IS NOT NULL", column("s", name))).collect();
    let grouped: Vec<String> = columns.iter().map(|name| column("s", name)).collect();
    let on: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, name)| format!("{} = {alias}.{}", column("s", name), named(at)))
        .collect();
    let filter = check.filter.as_deref().unwrap_or("TRUE");
    let join = Template::new(include_str!("../sql/repeated.sql"))
        .set("selected", selected.join(", "))
        .set("filled", filled.join(" AND "))
        .set("filter", filter)
        .set("grouped", grouped.join(", "))
        .set("alias", alias)
        .set("on", on.join(" AND "))
        .finish();
    (format!("\n{join}"), format!("{alias}.{} IS NOT NULL", named(0)))
}

/// A value as this program's engine reads it.
fn engine(literal: &Literal) -> String {
    literal.sql(Dialect::Engine)
}

fn beyond(own: &str, sign: &str, bound: Bound) -> String {
    match bound {
        Bound::Literal(literal) => format!("{own} {sign} {}", engine(&literal)),
        Bound::Always => "FALSE".to_owned(),
        Bound::Never => format!("{own} IS NOT NULL"),
    }
}

fn unfit(check: &Check, why: &str) -> Error {
    Error::usage(format!("check {}: {why}", check.name))
}
