//! A contract written as DDL, which [`TableDef::parse`] reads back.

use std::fmt;

use super::ddl::{ColumnDef, TableDef};
use crate::model::sql::Ident;

impl fmt::Display for TableDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "CREATE TABLE {} (", name(&self.name))?;
        let named =
            |columns: &[String]| columns.iter().map(|column| name(column)).collect::<Vec<_>>().join(", ");
        let width = |of: fn(&ColumnDef) -> String| {
            self.columns.iter().map(|c| of(c).chars().count()).max().unwrap_or(0)
        };
        let (names, types) = (width(|c| name(&c.field.name)), width(|c| c.field.data_type.to_string()));
        let mut lines: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let (own, data_type) = (name(&column.field.name), column.field.data_type.to_string());
                let not_null = if column.field.nullable { "" } else { " NOT NULL" };
                let comment = column.comment.as_ref().map(|text| format!(" COMMENT {}", quoted(text)));
                let line =
                    format!("  {own:names$}  {data_type:types$}{not_null}{}", comment.unwrap_or_default());
                line.trim_end().to_owned()
            })
            .collect();
        let constraint = |key: &str| key.strip_prefix("delta.constraints.").map(str::to_owned);
        for (key, condition) in &self.properties {
            if let Some(constraint) = constraint(key) {
                lines.push(format!("  CONSTRAINT {} CHECK ({condition})", name(&constraint)));
            }
        }
        if !self.primary_key.is_empty() {
            lines.push(format!("  PRIMARY KEY ({})", named(&self.primary_key)));
        }
        writeln!(f, "{}\n)", lines.join(",\n"))?;
        f.write_str("USING DELTA")?;
        if !self.partitioned_by.is_empty() {
            write!(f, "\nPARTITIONED BY ({})", named(&self.partitioned_by))?;
        }
        if let Some(comment) = &self.comment {
            write!(f, "\nCOMMENT {}", quoted(comment))?;
        }
        let others = self.properties.iter().filter(|(key, _)| constraint(key).is_none());
        if others.clone().next().is_some() {
            let properties = others.map(|(key, value)| format!("  {} = {}", quoted(key), quoted(value)));
            write!(f, "\nTBLPROPERTIES (\n{}\n)", properties.collect::<Vec<_>>().join(",\n"))?;
        }
        f.write_str("\n")
    }
}

/// A name, in backticks where it is no plain word.
fn name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain { name.to_owned() } else { Ident(name).to_string() }
}

/// Words that begin a clause of a contract or a constraint, and words that SQL itself has.
const RESERVED: [&str; 40] = [
    "all",
    "and",
    "any",
    "as",
    "by",
    "case",
    "check",
    "comment",
    "constraint",
    "create",
    "distinct",
    "else",
    "end",
    "false",
    "foreign",
    "from",
    "group",
    "having",
    "in",
    "index",
    "is",
    "join",
    "key",
    "not",
    "null",
    "on",
    "or",
    "order",
    "partitioned",
    "primary",
    "select",
    "table",
    "tblproperties",
    "then",
    "true",
    "union",
    "unique",
    "using",
    "when",
    "where",
];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::super::{FACT_ORDERS, LOAD_WATERMARKS, LOADS_AUDIT, STAGING_ORDERS};
    use super::*;

    #[test]
    fn contract_written_as_ddl_is_read_back_as_the_same() {
        let odd = "CREATE TABLE `a b` (`order id` BIGINT NOT NULL COMMENT 'it''s', `x``y` STRING, `primary` INT, \
                   `Key` DECIMAL(10,2), PRIMARY KEY (`order id`)) USING DELTA PARTITIONED BY (`Key`) COMMENT 'c' \
                   TBLPROPERTIES ('delta.a' = 'b''c')";
        for text in [FACT_ORDERS, LOADS_AUDIT, LOAD_WATERMARKS, STAGING_ORDERS, odd] {
            let def = TableDef::parse("a.sql", text).unwrap();
            assert_eq!(TableDef::parse("b.sql", &def.to_string()).unwrap(), def, "{def}");
        }
    }

    #[test]
    fn every_reserved_word_is_a_column_s_name_in_backticks() {
        for word in RESERVED {
            let text = format!("CREATE TABLE t ({} INT) USING DELTA", name(word));
            assert_eq!(TableDef::parse("t.sql", &text).unwrap().columns[0].field.name, word);
        }
    }
}
