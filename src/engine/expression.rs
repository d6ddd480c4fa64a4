//! Expressions that a person wrote over a table's columns: as this program runs them, and as Spark has them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use deltalake::datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Ident as Name, ObjectNamePart, TimezoneInfo, Value, visit_expressions_mut,
};
use deltalake::datafusion::sql::sqlparser::dialect::SparkSqlDialect;
use deltalake::datafusion::sql::sqlparser::parser::{Parser, ParserError};
use deltalake::datafusion::sql::sqlparser::tokenizer::Token;

use super::sql::Ident;
use crate::model::Dialect;

/// Functions that Spark has under another name.
const SPARK_NAMES: [(&str, &str); 4] = [
    ("to_timestamp_seconds", "timestamp_seconds"),
    ("to_timestamp_millis", "timestamp_millis"),
    ("to_timestamp_micros", "timestamp_micros"),
    ("strpos", "instr"),
];

/// An expression over a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    engine: String,
    spark: String,
    /// The columns that it names.
    pub columns: BTreeSet<String>,
    /// Whether it is a column as it stands.
    pub is_column: bool,
}

impl Expression {
    /// A column.
    #[must_use]
    pub fn column(name: &str) -> Self {
        let sql = Ident(name).to_string();
        Self { engine: sql.clone(), spark: sql, columns: BTreeSet::from([name.to_owned()]), is_column: true }
    }

    /// Reads SQL over the columns `known`. A name without quotes means the column that differs from it in case only, if
    /// there is one; a text that is a column's name, whatever is in it, means that column.
    ///
    /// # Errors
    /// Fails with what is wrong: it is no single expression.
    pub fn parse(sql: &str, known: &[&str]) -> Result<Self, String> {
        let sql = sql.trim();
        if known.contains(&sql) {
            return Ok(Self::column(sql));
        }
        let told = |error: ParserError| match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => "is nested too deeply".to_owned(),
        };
        let mut parser = Parser::new(&SparkSqlDialect {}).try_with_sql(sql).map_err(told)?;
        let mut tree = parser.parse_expr().map_err(told)?;
        let rest = parser.peek_token();
        if rest.token != Token::EOF {
            return Err(format!("is no single expression: `{}` is one too many", rest.token));
        }
        let mut columns = BTreeSet::new();
        let refused = visit_expressions_mut(&mut tree, |part| {
            match part {
                // What such have for a row depends on others.
                Expr::Function(call) if call.over.is_some() => {
                    return ControlFlow::Break("looks at other rows, and each row is one by itself");
                }
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                    return ControlFlow::Break("holds a query of its own, and each row is one by itself");
                }
                Expr::Identifier(name) => resolve(name, known, &mut columns),
                Expr::CompoundIdentifier(names) => {
                    if let Some(first) = names.first_mut() {
                        resolve(first, known, &mut columns);
                        if !known.contains(&first.value.as_str()) {
                            return ControlFlow::Break(
                                "names a table or a struct that staging does not have",
                            );
                        }
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        if let ControlFlow::Break(why) = refused {
            return Err(why.to_owned());
        }
        let mut own = tree.clone();
        let wrong = visit_expressions_mut(&mut own, |part| match of_all_years(part) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(told(error)),
        });
        if let ControlFlow::Break(why) = wrong {
            return Err(why);
        }
        let engine = own.to_string();
        let is_column = matches!(tree, Expr::Identifier(_)) && columns.len() == 1;
        let _ = visit_expressions_mut(&mut tree, |part| {
            for_spark(part);
            ControlFlow::<()>::Continue(())
        });
        Ok(Self { engine, spark: tree.to_string(), columns, is_column })
    }

    /// The expression in SQL.
    #[must_use]
    pub fn sql(&self, dialect: Dialect) -> &str {
        match dialect {
            Dialect::Engine => &self.engine,
            Dialect::Spark => &self.spark,
        }
    }
}

/// The column that a name means, in quotes, so that no case is lost. What is no column is left: planning says so.
fn resolve(name: &mut Name, known: &[&str], columns: &mut BTreeSet<String>) {
    let exact = if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() };
    let mut alike = known.iter().filter(|column| column.to_lowercase() == exact.to_lowercase());
    let found = match (known.iter().find(|column| **column == exact), alike.next(), alike.next()) {
        (Some(column), ..) => column,
        (None, Some(column), None) if name.quote_style.is_none() => column,
        _ => return,
    };
    *name = Name::with_quote('`', *found);
    columns.insert((*found).to_owned());
}

/// A value as a TIMESTAMP: the engine's own cast goes through nanoseconds, in which far years do not fit.
#[must_use]
pub fn as_timestamp(sql: &str) -> String {
    format!("arrow_cast({sql}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// A person's CAST to TIMESTAMP as one that takes all years.
fn of_all_years(part: &mut Expr) -> Result<(), ParserError> {
    if let Expr::Cast {
        kind: CastKind::Cast | CastKind::DoubleColon,
        expr,
        data_type: DataType::Timestamp(None, TimezoneInfo::None),
        ..
    } = part
    {
        let sql = as_timestamp(&expr.to_string());
        *part = Parser::new(&SparkSqlDialect {}).try_with_sql(&sql)?.parse_expr()?;
    }
    Ok(())
}

/// Names and texts as Spark reads them: a backslash begins an escape there, and two quotes are no quote.
fn for_spark(part: &mut Expr) {
    match part {
        Expr::Value(value) => {
            if let Value::SingleQuotedString(text) = &mut value.value {
                *text = text.replace('\\', "\\\\").replace('\'', "\\'");
            }
        }
        Expr::Function(call) => {
            if let [ObjectNamePart::Identifier(name)] = call.name.0.as_mut_slice()
                && let Some((_, other)) =
                    SPARK_NAMES.iter().find(|(own, _)| name.value.eq_ignore_ascii_case(own))
            {
                (*other).clone_into(&mut name.value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = ["order_id", "Amount", "a`b", "status code", "date", "Date"];

    fn read(sql: &str) -> Expression {
        Expression::parse(sql, &KNOWN).unwrap()
    }

    #[test]
    fn a_column_s_name_is_that_column_whatever_is_in_it() {
        for name in KNOWN {
            let read = read(name);
            assert!(read.is_column, "{name}");
            assert_eq!(read.columns, BTreeSet::from([name.to_owned()]));
        }
        assert_eq!(read("status code").sql(Dialect::Engine), "`status code`");
        assert_eq!(read("`a``b`").sql(Dialect::Spark), "`a``b`");
    }

    #[test]
    fn names_without_quotes_mean_the_only_column_that_differs_in_case() {
        let amount = read("AMOUNT * 2");
        assert_eq!(amount.sql(Dialect::Engine), "`Amount` * 2");
        assert_eq!(amount.columns, BTreeSet::from(["Amount".to_owned()]));
        // One of the two is meant as it stands.
        assert_eq!(read("DATE + 1").sql(Dialect::Engine), "`date` + 1");
        assert_eq!(read("`amount`").sql(Dialect::Engine), "`amount`");
        assert_eq!(read("CAST(order_id AS DATE)").sql(Dialect::Engine), "CAST(`order_id` AS DATE)");
        let time = read("CAST(Amount AS TIMESTAMP)");
        assert_eq!(
            time.sql(Dialect::Engine),
            "arrow_cast(`Amount`, 'Timestamp(Microsecond, Some(\"UTC\"))')"
        );
        assert_eq!(time.sql(Dialect::Spark), "CAST(`Amount` AS TIMESTAMP)");
    }

    #[test]
    fn spark_gets_its_own_names_and_escapes() {
        let millis = read("to_timestamp_millis(order_id)");
        assert_eq!(millis.sql(Dialect::Engine), "to_timestamp_millis(`order_id`)");
        assert_eq!(millis.sql(Dialect::Spark), "timestamp_millis(`order_id`)");
        let text = read(r"replace(Amount, '\', 'it''s')");
        assert_eq!(text.sql(Dialect::Engine), r"replace(`Amount`, '\', 'it''s')");
        assert_eq!(text.sql(Dialect::Spark), r"replace(`Amount`, '\\', 'it\'s')");
    }

    #[test]
    fn what_is_no_single_expression_is_refused() {
        for (sql, why) in [
            ("order_id, Amount", "one too many"),
            ("order_id; DROP", "one too many"),
            ("", "xpected"),
            ("1 + row_number() OVER (ORDER BY order_id)", "looks at other rows"),
            ("order_id IN (SELECT 1)", "a query of its own"),
            ("s.order_id + 1", "a table or a struct that staging does not have"),
            ("COALESCE(Amount, (SELECT 1))", "a query of its own"),
        ] {
            let error = Expression::parse(sql, &KNOWN).unwrap_err();
            assert!(error.contains(why), "{sql}: {error}");
        }
    }
}
