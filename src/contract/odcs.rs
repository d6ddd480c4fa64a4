//! Contracts by the Open Data Contract Standard, version 3: what of one can be kept here, and what cannot.
//!
//! Columns, types, NOT NULL, keys and partitions make a [`TableDef`]; rules, relationships and service levels make checks
//! of a pipeline file. Everything else of the standard describes (owners, prices, tags), and is passed over.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;

use super::ddl::{ColumnDef, TableDef};
use super::odcs_values::{
    idents, is_true, limit, list, name_of, place, placed, quoted, scalar, sql, text, with_limit, yaml_list,
};
use crate::model::sql::Ident;

/// What of a contract can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odcs {
    /// The table.
    pub def: TableDef,
    /// The checks, in the order of the file.
    pub checks: Vec<OdcsCheck>,
    /// What the contract asks for and nothing here keeps, with the reason.
    pub unmapped: Vec<String>,
}

/// A check, as a pipeline file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OdcsCheck {
    /// The column; `None` for one of the table.
    pub column: Option<String>,
    /// The item of the list of checks, in one line of YAML.
    pub yaml: String,
}

/// Why a file is no contract of the standard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct OdcsError(String);

/// Reads a contract. `table` picks one of several.
///
/// # Errors
/// Fails where the file is none of the standard's, or the table is not there or has a column that no table can have.
pub fn read(contract: &Value, table: Option<&str>) -> Result<Odcs, OdcsError> {
    let wrong = |why: String| Err(OdcsError(why));
    if text(contract, "kind") != Some("DataContract") {
        return wrong("it is no `kind: DataContract`".to_owned());
    }
    let version = text(contract, "apiVersion").unwrap_or_default();
    if !version.starts_with("v3.") {
        return wrong(format!("`apiVersion` is `{version}`, and versions 3 of the standard are known"));
    }
    let tables = list(contract, "schema");
    let names = || tables.iter().filter_map(name_of).collect::<Vec<_>>().join(", ");
    let found = match (table, tables) {
        (None, [only]) => only,
        (None, _) => return wrong(format!("say by `--table` which of its tables is meant: {}", names())),
        (Some(wanted), _) => {
            let is_it =
                |table: &&Value| name_of(table) == Some(wanted) || text(table, "name") == Some(wanted);
            match tables.iter().find(is_it) {
                Some(table) => table,
                None => return wrong(format!("it has no table `{wanted}`; it has {}", names())),
            }
        }
    };
    let mut reading = Reading::default();
    let def = reading.table(found)?;
    for sla in list(contract, "slaProperties") {
        reading.service_level(sla);
    }
    Ok(Odcs { def, checks: reading.checks, unmapped: reading.unmapped })
}

#[derive(Default)]
struct Reading {
    /// The columns by what the contract calls them.
    names: BTreeMap<String, String>,
    checks: Vec<OdcsCheck>,
    unmapped: Vec<String>,
}

impl Reading {
    fn table(&mut self, table: &Value) -> Result<TableDef, OdcsError> {
        let name = name_of(table).ok_or_else(|| OdcsError("its table has no name".to_owned()))?;
        let properties = list(table, "properties");
        self.names = properties
            .iter()
            .filter_map(|property| Some((text(property, "name")?.to_owned(), name_of(property)?.to_owned())))
            .collect();
        let mut columns = Vec::new();
        for property in properties {
            let column =
                name_of(property).ok_or_else(|| OdcsError(format!("a column of `{name}` has no name")))?;
            columns.push(format!(
                "{} {}{}{}",
                Ident(column),
                self.type_of(column, property),
                if is_true(property, "required") || is_true(property, "primaryKey") {
                    " NOT NULL"
                } else {
                    ""
                },
                text(property, "description")
                    .map(|text| format!(" COMMENT '{}'", text.trim().replace('\'', "''")))
                    .unwrap_or_default(),
            ));
            self.rules(Some(column), property);
            self.options(column, property);
        }
        let key = placed(properties, "primaryKey", "primaryKeyPosition");
        if !key.is_empty() {
            columns.push(format!("PRIMARY KEY ({})", idents(&key)));
        }
        let partitions = placed(properties, "partitioned", "partitionKeyPosition");
        let partitioned = if partitions.is_empty() {
            String::new()
        } else {
            format!(" PARTITIONED BY ({})", idents(&partitions))
        };
        self.rules(None, table);
        let ddl = format!("CREATE TABLE {} ({}) USING DELTA{partitioned}", Ident(name), columns.join(", "));
        TableDef::parse(name, &ddl).map_err(|error| OdcsError(error.problem.to_string()))
    }

    /// The physical type, where it is one that a table here can have, or else what stands for the logical one.
    fn type_of(&mut self, column: &str, property: &Value) -> String {
        let physical = text(property, "physicalType");
        // A type alone: no further column, no constraint of it.
        let is_known = |sql: &&str| {
            let def = TableDef::parse("type", &format!("CREATE TABLE t (c {sql}) USING DELTA"));
            def.is_ok_and(|def| {
                let is_plain = |column: &ColumnDef| column.field.nullable && column.comment.is_none();
                matches!(def.columns.as_slice(), [only] if is_plain(only)) && def.primary_key.is_empty()
            })
        };
        if let Some(known) = physical.filter(is_known) {
            return known.to_owned();
        }
        let logical = text(property, "logicalType").unwrap_or("string");
        let sql = match physical.map(str::to_uppercase).as_deref() {
            // As Spark has a DECIMAL without digits.
            Some("DECIMAL" | "NUMERIC" | "NUMBER") => "DECIMAL(10,0)".to_owned(),
            _ => self.logical(column, logical, property),
        };
        if let Some(physical) = physical {
            self.unmapped.push(format!("`{column}`: the type {physical} is none of Delta's; {sql} is taken"));
        }
        sql
    }

    fn logical(&mut self, column: &str, logical: &str, property: &Value) -> String {
        match logical {
            "integer" => "BIGINT".to_owned(),
            "number" => "DOUBLE".to_owned(),
            "boolean" => "BOOLEAN".to_owned(),
            "date" => "DATE".to_owned(),
            "timestamp" => "TIMESTAMP".to_owned(),
            "array" => {
                let items = &property["items"];
                format!(
                    "ARRAY<{}>",
                    if items.is_object() { self.type_of(column, items) } else { "STRING".to_owned() }
                )
            }
            "object" => {
                for member in list(property, "properties") {
                    let asks =
                        ["required", "unique", "quality", "logicalTypeOptions", "relationships", "enum"];
                    let asked = asks
                        .into_iter()
                        .filter(|key| member.get(key).is_some_and(|value| *value != Value::Bool(false)));
                    let place = format!("`{column}.{}`", name_of(member).unwrap_or_default());
                    self.unmapped.extend(asked.map(|key| format!("{place}: {key}, within a column")));
                }
                let members: Vec<String> = list(property, "properties")
                    .iter()
                    .filter_map(|member| {
                        Some(format!("{}: {}", Ident(name_of(member)?), self.type_of(column, member)))
                    })
                    .collect();
                if members.is_empty() {
                    "STRING".to_owned()
                } else {
                    format!("STRUCT<{}>", members.join(", "))
                }
            }
            "string" => "STRING".to_owned(),
            other => {
                self.unmapped.push(format!("`{column}`: a column of type `{other}` is a STRING here"));
                "STRING".to_owned()
            }
        }
    }

    /// What is asked of a column beside rules.
    fn options(&mut self, column: &str, property: &Value) {
        if is_true(property, "unique") {
            self.check(Some(column), "unique".to_owned());
        }
        let allowed = list(property, "enum");
        if !allowed.is_empty() {
            self.check(Some(column), format!("accepted_values: {{values: {}}}", yaml_list(allowed)));
        }
        let options = &property["logicalTypeOptions"];
        let bounds: Vec<String> = [("minimum", "min"), ("maximum", "max")]
            .into_iter()
            .filter_map(|(theirs, ours)| Some(format!("{ours}: {}", scalar(options.get(theirs)?))))
            .collect();
        if !bounds.is_empty() {
            self.check(Some(column), format!("accepted_range: {{{}}}", bounds.join(", ")));
        }
        if let Some(pattern) = text(options, "pattern") {
            self.check(Some(column), format!("regex: {{pattern: {}}}", quoted(pattern)));
        }
        let name = Ident(column);
        for (key, sign) in [("minLength", ">="), ("maxLength", "<=")] {
            if let Some(length) = options.get(key).and_then(Value::as_i64) {
                self.check(
                    Some(column),
                    format!("expression: {{sql: {}}}", quoted(&format!("LENGTH({name}) {sign} {length}"))),
                );
            }
        }
        for (key, sign) in [("exclusiveMinimum", ">"), ("exclusiveMaximum", "<")] {
            if let Some(bound) = options.get(key).filter(|bound| bound.is_number()) {
                self.check(
                    Some(column),
                    format!("expression: {{sql: {}}}", quoted(&format!("{name} {sign} {bound}"))),
                );
            }
        }
        let known = [
            "minimum",
            "maximum",
            "pattern",
            "minLength",
            "maxLength",
            "exclusiveMinimum",
            "exclusiveMaximum",
        ];
        let is_kept = |key: &str, value: &Value| match key {
            "minLength" | "maxLength" => value.is_i64() || value.is_u64(),
            "exclusiveMinimum" | "exclusiveMaximum" => value.is_number(),
            "pattern" => value.is_string(),
            key => known.contains(&key),
        };
        for (key, _) in options.as_object().into_iter().flatten().filter(|(key, value)| !is_kept(key, value))
        {
            self.unmapped.push(format!("`{column}`: logicalTypeOptions.{key}"));
        }
    }

    /// A property's name as its column has it.
    fn named(&self, name: &Value) -> Value {
        name.as_str()
            .and_then(|name| self.names.get(name))
            .map_or_else(|| name.clone(), |name| name.as_str().into())
    }

    /// The rules and relationships of a column or of the table.
    fn rules(&mut self, column: Option<&str>, element: &Value) {
        for rule in list(element, "quality") {
            let metric = text(rule, "metric").or_else(|| text(rule, "rule"));
            let checked = match (text(rule, "type").unwrap_or("library"), metric) {
                ("library", Some(metric)) => self.metric(column, metric, rule),
                // It says what is meant, and asks for nothing that could be run.
                ("text", _) => Ok(()),
                ("sql", _) => Err("SQL of another engine: write it as a check `aggregate` or `sql`"),
                _ => Err("only rules of the library are run"),
            };
            if let Err(why) = checked {
                let named =
                    text(rule, "name").or(metric).or_else(|| text(rule, "description")).unwrap_or("a rule");
                self.unmapped.push(format!("{}: {named}: {why}", place(column)));
            }
        }
        for relationship in list(element, "relationships") {
            let to = relationship["to"].as_str().and_then(|to| to.rsplit_once('.'));
            match (column, to) {
                (Some(column), Some((table, field))) => {
                    let table = table.rsplit(['.', '/']).next().unwrap_or(table);
                    self.check(Some(column), format!("relationships: {{to: {table}, field: {field}}}"));
                    self.unmapped.push(format!(
                        "{}: the relationship needs the table of `{table}` under `dimensions`",
                        place(Some(column))
                    ));
                }
                _ => self.unmapped.push(format!("{}: a relationship of several columns", place(column))),
            }
        }
    }

    fn metric(&mut self, column: Option<&str>, metric: &str, rule: &Value) -> Result<(), &'static str> {
        const OPERATOR: &str = "only an upper limit for what is wrong can be kept";
        let arguments = &rule["arguments"];
        match (metric, column) {
            ("nullValues", Some(_)) => {
                let limit = limit(rule).ok_or(OPERATOR)?;
                self.check(column, with_limit("not_null", "", &limit));
            }
            ("missingValues", Some(name)) => {
                let limit = limit(rule).ok_or(OPERATOR)?;
                let missing = list(arguments, "missingValues");
                let texts: Vec<String> = missing.iter().filter(|value| !value.is_null()).map(sql).collect();
                let name = Ident(name);
                let is_there = format!("{name} IS NOT NULL");
                let condition = if texts.is_empty() {
                    is_there
                } else {
                    format!("{is_there} AND {name} NOT IN ({})", texts.join(", "))
                };
                self.check(column, with_limit("expression", &format!("sql: {}", quoted(&condition)), &limit));
            }
            ("invalidValues", Some(_)) => {
                let limit = limit(rule).ok_or(OPERATOR)?;
                let valid = list(arguments, "validValues");
                if !valid.is_empty() {
                    self.check(
                        column,
                        with_limit("accepted_values", &format!("values: {}", yaml_list(valid)), &limit),
                    );
                }
                if let Some(pattern) = text(arguments, "pattern") {
                    self.check(column, with_limit("regex", &format!("pattern: {}", quoted(pattern)), &limit));
                }
                if valid.is_empty() && text(arguments, "pattern").is_none() {
                    return Err("it does not say what is valid");
                }
            }
            ("duplicateValues", _) => {
                let limit = limit(rule).ok_or(OPERATOR)?;
                let columns: Vec<Value> =
                    list(arguments, "properties").iter().map(|name| self.named(name)).collect();
                let keys = if column.is_none() {
                    format!("columns: {}", yaml_list(&columns))
                } else {
                    String::new()
                };
                if column.is_none() && columns.is_empty() {
                    return Err("it does not say of which columns");
                }
                self.check(column, with_limit("unique", &keys, &limit));
            }
            ("rowCount", None) => {
                let number = |key: &str| rule.get(key).and_then(Value::as_i64);
                let between = list(rule, "mustBeBetween");
                let at = |index: usize| between.get(index).and_then(Value::as_i64);
                let exact = number("mustBe");
                let min = exact
                    .or_else(|| number("mustBeGreaterOrEqualTo"))
                    .or_else(|| number("mustBeGreaterThan").map(|n| n + 1))
                    .or_else(|| at(0));
                let max = exact
                    .or_else(|| number("mustBeLessOrEqualTo"))
                    .or_else(|| number("mustBeLessThan").map(|n| n - 1))
                    .or_else(|| at(1));
                let bounds: Vec<String> = [("min", min), ("max", max)]
                    .into_iter()
                    .filter_map(|(key, bound)| Some(format!("{key}: {}", bound?)))
                    .collect();
                if bounds.is_empty() {
                    return Err("only bounds of whole numbers can be kept");
                }
                self.check(None, format!("row_count: {{{}}}", bounds.join(", ")));
            }
            _ => return Err("the metric is not known here"),
        }
        Ok(())
    }

    fn service_level(&mut self, sla: &Value) {
        let property = text(sla, "property").unwrap_or("a service level");
        let days = sla["value"].as_i64().and_then(|number| match text(sla, "unit") {
            Some("d" | "day" | "days") => Some(number),
            Some("w" | "week" | "weeks") => Some(number * 7),
            _ => None,
        });
        match (property, days) {
            ("latency" | "ly" | "freshness" | "timeliness", Some(days)) => {
                self.check(None, format!("freshness: {{within: {days} days}}"));
            }
            ("latency" | "ly" | "freshness" | "timeliness", None) => {
                self.unmapped.push(format!("slaProperties: {property}: `freshness` is in whole days"));
            }
            // What describes the service, and nothing in a batch.
            _ => self.unmapped.push(format!("slaProperties: {property}")),
        }
    }

    fn check(&mut self, column: Option<&str>, yaml: String) {
        self.checks.push(OdcsCheck { column: column.map(str::to_owned), yaml });
    }
}
