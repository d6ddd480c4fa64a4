//! The SQL of a pipeline's checks, made from its recipe and the templates in `src/sql`.

use super::rows::quoted;
use super::text::{HASH, PREFIX, Text, any_of};
use crate::config::bound::{Bound, equal, lower, upper};
use crate::config::{Check, CheckKind};
use crate::engine::sql::{Ident, Template, column};
use crate::error::{Error, Result};
use crate::model::Action;
use crate::model::types::DataType;
use crate::plan::Recipe;

/// The rows that are checked: those that the dedupe left, each with its class.
pub const GATED: &str = "gated";
/// The relation of a row's class that has none, because it lacks a required value.
pub const ALONE: &str = "alone";

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

/// Writes the SQL of one recipe's checks.
pub struct CheckText<'a> {
    recipe: &'a Recipe,
    conditions: Vec<Condition<'a>>,
}

impl<'a> CheckText<'a> {
    /// The SQL of the recipe's checks.
    ///
    /// # Errors
    /// Fails where a bound is no value of its column's type.
    pub fn new(recipe: &'a Recipe) -> Result<Self> {
        let mut conditions = Vec::new();
        for (index, check) in recipe.checks.iter().enumerate() {
            if let Some((join, fails)) = condition(recipe, check, index)? {
                conditions.push(Condition { check, index, join, fails });
            }
        }
        Ok(Self { recipe, conditions })
    }

    /// The rows that are checked. `alone` says whether there are rows that lack a required value.
    #[must_use]
    pub fn gated(&self, alone: bool) -> String {
        let columns = quoted(&Text::new(self.recipe).staged_columns());
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

    /// The rows that a query of the pipeline file sees as `batch`.
    #[must_use]
    pub fn batch(&self) -> String {
        format!("SELECT {} FROM {GATED}", quoted(&Text::new(self.recipe).staged_columns()))
    }

    /// The keys that a query of the pipeline file returns.
    #[must_use]
    pub fn query_keys(&self, query: &str) -> String {
        let keys = &self.recipe.rules.unique_key;
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
    pub fn counts(&self, known: bool) -> String {
        let mut outer = Vec::new();
        for condition in &self.conditions {
            let index = condition.index;
            outer.push(format!("COUNT(CASE WHEN `__hw_w{index}` THEN 1 END) AS `examined{index}`"));
            outer.push(format!("COUNT(CASE WHEN `__hw_f{index}` THEN 1 END) AS `failed{index}`"));
            outer.push(format!(
                "COUNT(CASE WHEN `__hw_f{index}` AND `__hw_held` AND NOT `__hw_out` THEN 1 END) AS `held{index}`"
            ));
            if matches!(condition.check.kind, CheckKind::Freshness { .. }) {
                let version = Ident(&self.recipe.rules.version);
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
            .set("flagged", self.flagged("", known, |_| true))
            .finish()
    }

    /// Rows of the batch that break a check or are known to the quarantine, each with its flags.
    #[must_use]
    pub fn broken(&self, pipeline: &str, known: bool) -> String {
        let mut columns =
            format!(",\n  {} AS `__hw_entry_id`", Text::new(self.recipe).entry_id("s", pipeline));
        if !known {
            columns
                .push_str(",\n  CAST(NULL AS STRING) AS `__hw_known`, CAST(NULL AS STRING) AS `__hw_status`");
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
            .set("order", Text::new(self.recipe).order("c"))
            .finish()
    }

    /// A column's value as an entry tells it. Nested values have no text.
    fn text_of(&self, name: &str) -> String {
        let value = column("s", name);
        match self.recipe.data_type(name) {
            Some(DataType::Binary) => format!("hex({value})"),
            Some(nested) if nested.is_nested() => "CAST(NULL AS STRING)".to_owned(),
            _ => format!("CAST({value} AS STRING)"),
        }
    }

    /// Some of the rows that fail check number `index`, by key and lineage.
    #[must_use]
    pub fn examples(&self, index: usize, limit: usize) -> String {
        let shown = quoted(&Text::new(self.recipe).identifying());
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
            parts.push("e.`__hw_known`, e.`__hw_status`".to_owned());
            parts.push("COALESCE(e.`__hw_status` = 'discarded', FALSE) AS `__hw_out`".to_owned());
            joins.push(self.join_known());
        } else {
            parts.push("FALSE AS `__hw_out`".to_owned());
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

    /// Rows beside their entries: by id in a replay, else by what makes the id.
    fn join_known(&self) -> String {
        if self.recipe.is_of_entries() {
            return "\nLEFT JOIN known AS e ON e.`__hw_known` = s.`dq_entry_id`".to_owned();
        }
        format!(
            "\nLEFT JOIN known AS e ON e.`__hw_known_hash` = {} AND e.`__hw_known_version` IS NOT DISTINCT FROM {}",
            column("s", HASH),
            column("s", &self.recipe.rules.version),
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
        Bound::Literal(literal) => format!("`value` {sign} {literal}"),
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
fn condition(recipe: &Recipe, check: &Check, index: usize) -> Result<Option<(String, String)>> {
    let own = check.column.as_deref().map(|name| column("s", name)).unwrap_or_default();
    let of_own = || {
        let name = check.column.as_deref().unwrap_or_default();
        recipe.data_type(name).ok_or_else(|| Error::bug(format!("check {} has no column", check.name)))
    };
    let alias = format!("`{PREFIX}c{index}`");
    let (join, fails) = match &check.kind {
        // The rate of a key column is measured on staged rows.
        CheckKind::NullRate { .. } if check.column.as_deref().is_some_and(|name| recipe.is_key(name)) => {
            return Ok(None);
        }
        CheckKind::NotNull | CheckKind::NullRate { .. } => (String::new(), format!("{own} IS NULL")),
        CheckKind::Unique { columns } => unique(check, columns, &alias),
        CheckKind::AcceptedValues { values } => {
            let mut literals = Vec::new();
            for value in values {
                if let Bound::Literal(literal) = equal(value, of_own()?).map_err(|why| unfit(check, &why))? {
                    literals.push(literal);
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
            (String::new(), format!("NOT regexp_like({own}, '{}')", pattern.replace('\'', "''")))
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
            let keys = recipe.rules.unique_key.iter().enumerate();
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

fn beyond(own: &str, sign: &str, bound: Bound) -> String {
    match bound {
        Bound::Literal(literal) => format!("{own} {sign} {literal}"),
        Bound::Always => "FALSE".to_owned(),
        Bound::Never => format!("{own} IS NOT NULL"),
    }
}

fn unfit(check: &Check, why: &str) -> Error {
    Error::usage(format!("check {}: {why}", check.name))
}

/// What a check demands of a row, in words.
#[must_use]
pub fn demand(check: &Check) -> String {
    let range = |min: &Option<String>, max: &Option<String>| match (min, max) {
        (Some(min), Some(max)) => format!("lie in {min} to {max}"),
        (Some(min), None) => format!("be at least {min}"),
        (None, Some(max)) => format!("be at most {max}"),
        (None, None) => "have any value".to_owned(),
    };
    let demand = match &check.kind {
        CheckKind::NotNull => "not be NULL".to_owned(),
        CheckKind::Unique { columns } => format!("be the only row with its {}", columns.join(", ")),
        CheckKind::AcceptedValues { values } => format!("be one of {}", values.join(", ")),
        CheckKind::AcceptedRange { min, max } => range(min, max),
        CheckKind::Regex { pattern } => format!("match {pattern}"),
        CheckKind::Relationships { to, field } => format!("be found in {to}.{field}"),
        CheckKind::Expression { sql } => format!("satisfy {sql}"),
        CheckKind::Sql { .. } => "not be returned by the query".to_owned(),
        other => format!("pass {}", other.as_str()),
    };
    format!("must {demand}")
}
