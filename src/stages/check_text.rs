//! The SQL of a pipeline's checks, made from its load spec and the templates in `src/sql`.

use super::rows::quoted;
use super::text::{HASH, Text, any_of};
use crate::checks::{self, Check, CheckKind, Sql};
use crate::engine::sql::{Ident, Template, column};
use crate::error::{Error, Result};
use crate::model::Action;
use crate::model::types::DataType;
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
            if let Some(checks::Condition { join, fails }) = condition(spec, check, index)? {
                conditions.push(Condition { check, index, join, fails });
            }
        }
        Ok(Self { spec, conditions })
    }

    /// The rows of the batch. `alone` says whether there are rows that lack a required value.
    #[must_use]
    pub fn all(&self, alone: bool) -> String {
        let text = Text::new(self.spec);
        let columns = quoted(&text.staged_columns());
        let class = Ident("__hw_class");
        let mut sql =
            format!("SELECT {columns}, {}, {class} FROM classified", text.located_hash("classified"));
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
            if matches!(condition.check.kind, CheckKind::Freshness(_)) {
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

/// The join and the failing condition of a check that looks at each row.
fn condition(spec: &LoadSpec, check: &Check, index: usize) -> Result<Option<checks::Condition>> {
    let column = match check.column.as_deref() {
        None => None,
        Some(name) => {
            let data_type = spec.data_type(name);
            let data_type =
                data_type.ok_or_else(|| Error::bug(format!("check {} has no column", check.name)))?;
            Some((name, data_type))
        }
    };
    let sql = Sql {
        index,
        column,
        filter: check.filter.as_deref(),
        key: &spec.rules.unique_key,
        null_keys: spec.rules.null_keys,
    };
    let found = check.kind.kind().condition(&sql);
    found.map_err(|why| Error::usage(format!("check {}: {why}", check.name)))
}
