//! The row hash: the canonical text of a row, and what is made of it.

use super::{HASH, Text};
use crate::engine::sql::{Ident, column};
use crate::model::types::DataType;
use crate::model::{Dialect, Literal};

impl Text<'_> {
    /// The row hash. The engine makes it in one call, which gives what SHA-256 over [`Self::hash_text`] does: an
    /// expression for each column of a wide table takes longer to plan than to run.
    #[must_use]
    pub fn row_hash(&self, alias: &str) -> String {
        if self.dialect == Dialect::Spark {
            return self.with_unfit(alias, format!("sha2({}, 256)", self.hash_text(alias)));
        }
        let hashed = self.payload_and_key().filter_map(|name| self.spec.column(name));
        let columns = hashed.map(|loaded| column(alias, &loaded.name));
        // The version is no part of the hash, but has to be one that can be written.
        let columns = columns.chain([column(alias, &self.spec.rules.version)]).collect::<Vec<_>>();
        self.with_unfit(alias, format!("row_hash({})", columns.join(", ")))
    }

    /// The row hash of located rows: those that are older than the target's have none, and it is made where a query reads it.
    #[must_use]
    pub fn located_hash(&self, alias: &str) -> String {
        let hash = column(alias, HASH);
        format!("CASE WHEN {hash} IS NULL THEN {} ELSE {hash} END AS {}", self.row_hash(alias), Ident(HASH))
    }

    /// The hash of a row, with the values that do not fit their columns, which are NULL there.
    fn with_unfit(&self, alias: &str, hash: String) -> String {
        let values: Vec<String> = self.spec.unfit().map(|name| column(alias, name)).collect();
        if values.is_empty() {
            return hash;
        }
        let none: Vec<String> = values.iter().map(|value| format!("{value} IS NULL")).collect();
        let parts: Vec<String> = values.iter().map(|value| self.part(value, &DataType::String)).collect();
        let other = match self.dialect {
            Dialect::Spark => format!("sha2(concat({hash}, {}), 256)", parts.join(", ")),
            // As the hash itself: this is no query that is simplified first.
            Dialect::Engine => {
                let version = column(alias, &self.spec.rules.version);
                format!("row_hash({hash}, {}, {version})", values.join(", "))
            }
        };
        format!("CASE WHEN {} THEN {hash} ELSE {other} END", none.join(" AND "))
    }

    /// The canonical text of a row, which its hash is taken over.
    ///
    /// Each column is written as tag, length in bytes, colon and value, and a NULL as `n`. So NULL, the
    /// empty string and 0 differ, and no two rows of different values have one text. A nested value is its parts,
    /// in brackets.
    #[must_use]
    pub fn hash_text(&self, alias: &str) -> String {
        let parts: Vec<String> = self
            .payload_and_key()
            .filter_map(|name| self.spec.column(name))
            .map(|loaded| self.part(&column(alias, &loaded.name), &loaded.target))
            .collect();
        // One call for all columns: a chain of operators is as deep as there are columns.
        if parts.is_empty() { "''".to_owned() } else { format!("concat({})", parts.join(",\n      ")) }
    }

    /// The id of a row's entry in the quarantine: by pipeline, key, version and row hash, which covers the key.
    #[must_use]
    pub fn entry_id(&self, alias: &str, pipeline: &str) -> String {
        let version = &self.spec.rules.version;
        let text = self
            .spec
            .column(version)
            .map_or_else(|| "'n'".to_owned(), |loaded| self.part(&column(alias, version), &loaded.target));
        let undated = self.spec.unhashed_date().map(|name| column(alias, name));
        let undated = undated.map(|date| format!(" || CASE WHEN {date} IS NULL THEN '/undated' ELSE '' END"));
        let pipeline = Literal::text(format!("{pipeline}/")).sql(self.dialect);
        format!(
            "SUBSTR(sha2({pipeline} || {text} || '/' || {alias}.{}{}, 256), 1, 32)",
            Ident(HASH),
            undated.unwrap_or_default()
        )
    }

    /// A value's part of the canonical text. It is never NULL.
    fn part(&self, value: &str, data_type: &DataType) -> String {
        self.part_at(value, data_type, 0)
    }

    /// The canonical text of a nested value; NULL, where it is.
    pub(super) fn nested_text(&self, value: &str, data_type: &DataType) -> String {
        self.nested_at(value, data_type, 0)
    }

    /// The same within so many others.
    fn part_at(&self, value: &str, data_type: &DataType, depth: usize) -> String {
        if data_type.is_nested() {
            return format!("COALESCE({}, 'n')", self.nested_at(value, data_type, depth));
        }
        let (tag, text) = (tag(data_type), self.canonical(value, data_type));
        format!("COALESCE('{tag}' || CAST(OCTET_LENGTH({text}) AS STRING) || ':' || {text}, 'n')")
    }

    fn nested_at(&self, value: &str, data_type: &DataType, depth: usize) -> String {
        // The variable of a lambda is another one than those of the lambdas around it.
        let each = format!("e{depth}");
        let part = |value: &str, of: &DataType| self.part_at(value, of, depth + 1);
        match (data_type, self.dialect) {
            (DataType::Array(element), Dialect::Spark) => {
                let part = part(&each, element);
                format!("concat('[', array_join(transform({value}, {each} -> {part}), ''), ']')")
            }
            (DataType::Struct(members), Dialect::Spark) => {
                let parts = members.iter().map(|member| {
                    let own = format!("{value}.{}", Ident(&member.name));
                    format!("{}, ", part(&own, &member.data_type))
                });
                let parts = parts.collect::<Vec<_>>().concat();
                format!("CASE WHEN {value} IS NOT NULL THEN concat('{{', {parts}'}}') END")
            }
            (DataType::Map(key, of), Dialect::Spark) => {
                let (key, of) = (part(&format!("{each}.key"), key), part(&format!("{each}.value"), of));
                let entries = format!("transform(map_entries({value}), {each} -> concat({key}, {of}))");
                format!("concat('<', array_join(array_sort({entries}), ''), '>')")
            }
            _ => format!("nested_text({value})"),
        }
    }

    fn canonical(&self, value: &str, data_type: &DataType) -> String {
        match data_type {
            // In UTC, which the printed script sets, and the engine's function takes it for.
            DataType::TimestampNtz if self.dialect == Dialect::Spark => {
                format!("CAST(unix_micros(CAST({value} AS TIMESTAMP)) AS STRING)")
            }
            // A cast would go through nanoseconds, in which far years do not fit.
            DataType::Timestamp | DataType::TimestampNtz => format!("CAST(unix_micros({value}) AS STRING)"),
            DataType::Double if self.dialect == Dialect::Engine => format!("double_text({value})"),
            DataType::Float if self.dialect == Dialect::Engine => format!("float_text({value})"),
            DataType::Binary => format!("hex({value})"),
            DataType::String => value.to_owned(),
            _ => format!("CAST({value} AS STRING)"),
        }
    }
}

/// What the text of a value of this type begins with.
fn tag(data_type: &DataType) -> char {
    match data_type {
        DataType::Boolean => 'b',
        DataType::Decimal(_, _) => 'd',
        DataType::Date => 'D',
        DataType::Timestamp => 't',
        DataType::TimestampNtz => 'T',
        DataType::Double | DataType::Float => 'f',
        DataType::Binary => 'x',
        DataType::String => 's',
        DataType::Byte | DataType::Short | DataType::Int | DataType::Long => 'i',
        // Their text is that of their parts.
        DataType::Array(_) | DataType::Struct(_) | DataType::Map(_, _) => '?',
    }
}
