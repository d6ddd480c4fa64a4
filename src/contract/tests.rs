use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ddl::{ColumnDef, DdlProblem, Position, TableDef};
use super::differences::ActualTable;
use super::schema_json::columns_from_schema_json;
use super::{DIM_CUSTOMER, FACT_ORDERS, LOAD_WATERMARKS, LOADS_ATTEMPTS, LOADS_AUDIT, STAGING_ORDERS};
use crate::model::types::{DataType, Field};

const SHIPPED: [(&str, &str); 6] = [
    ("staging_orders", STAGING_ORDERS),
    ("fact_orders", FACT_ORDERS),
    ("dim_customer", DIM_CUSTOMER),
    ("loads_audit", LOADS_AUDIT),
    ("loads_attempts", LOADS_ATTEMPTS),
    ("load_watermarks", LOAD_WATERMARKS),
];

fn parse(text: &str) -> TableDef {
    TableDef::parse("t.sql", text).unwrap()
}

fn refused(text: &str) -> String {
    TableDef::parse("t.sql", text).unwrap_err().to_string()
}

/// Name, type and nullability of a table's columns, one a line.
fn shape(table: &TableDef) -> Vec<String> {
    let columns = table.columns.iter();
    let line = |Field { name, data_type, nullable }: &Field| {
        let not_null = if *nullable { "" } else { " NOT NULL" };
        format!("{name} {data_type}{not_null}")
    };
    columns.map(|c| line(&c.field)).collect()
}

/// The table that the contract itself makes.
fn as_made(table: &TableDef) -> ActualTable {
    ActualTable {
        columns: columns_from_schema_json(&table.schema_json()).unwrap(),
        partitioned_by: table.partitioned_by.clone(),
        properties: table.properties.clone(),
    }
}

mod shipped_tables {
    use super::*;

    #[test]
    fn each_parses_under_its_file_s_name_with_a_comment_on_every_column() {
        for (name, text) in SHIPPED {
            let table = TableDef::parse(name, text).unwrap();
            assert_eq!(table.name, name);
            for ColumnDef { field, comment } in &table.columns {
                let comment = comment.as_deref().unwrap_or_default();
                assert!(comment.len() > 10, "{name}.{} lacks a comment", field.name);
            }
        }
    }

    #[test]
    fn each_leaves_log_cleanup_to_maintenance_and_only_the_target_keeps_files_longer() {
        for (name, text) in SHIPPED {
            let table = parse(text);
            let mut expected =
                BTreeMap::from([("delta.enableExpiredLogCleanup".to_owned(), "false".to_owned())]);
            if name == "staging_orders" {
                // Highwater writes no checkpoints of what it only reads.
                expected.insert("delta.checkpointInterval".to_owned(), "10".to_owned());
            }
            if name == "fact_orders" {
                for key in ["delta.deletedFileRetentionDuration", "delta.logRetentionDuration"] {
                    expected.insert(key.to_owned(), "interval 30 days".to_owned());
                }
            }
            assert_eq!(table.properties, expected, "{name}");
        }
    }

    #[test]
    fn orders_and_customers_are_the_reference_case_s() {
        let staging = parse(STAGING_ORDERS);
        let delivered = [
            "order_id INT",
            "customer_id INT",
            "order_date DATE",
            "updated_at TIMESTAMP",
            "total_amount DECIMAL(10,2)",
            "source_file STRING",
            "ingest_time TIMESTAMP",
        ];
        assert_eq!(shape(&staging), delivered);
        assert!(staging.primary_key.is_empty() && staging.partitioned_by.is_empty());

        let fact = parse(FACT_ORDERS);
        let loaded = [
            "order_id INT NOT NULL",
            "customer_id INT",
            "order_date DATE",
            "updated_at TIMESTAMP NOT NULL",
            "total_amount DECIMAL(10,2)",
            "load_batch_id STRING",
            "loaded_at TIMESTAMP",
            "row_hash STRING",
        ];
        assert_eq!(shape(&fact), loaded);
        assert_eq!(fact.primary_key, ["order_id"]);
        assert_eq!(fact.partitioned_by, ["order_date"]);

        let customers = parse(DIM_CUSTOMER);
        assert_eq!(shape(&customers), ["customer_id INT NOT NULL", "signup_date DATE"]);
        assert_eq!(customers.primary_key, ["customer_id"]);
    }

    #[test]
    fn audit_has_the_reference_case_s_columns_first_and_every_count_as_bigint() {
        let audit = parse(LOADS_AUDIT);
        let first = [
            "batch_id STRING NOT NULL",
            "run_start TIMESTAMP",
            "run_end TIMESTAMP",
            "watermark_from DATE",
            "watermark_to DATE",
            "staged_rows BIGINT",
            "deduped_rows BIGINT",
            "inserted_rows BIGINT",
            "updated_rows BIGINT",
            "dq_errors BIGINT",
            "status STRING NOT NULL",
        ];
        assert_eq!(shape(&audit)[..first.len()], first);
        assert_eq!(audit.primary_key, ["batch_id"]);
        let counts = audit.columns.iter().filter(|c| c.field.name.ends_with("_rows"));
        assert!(counts.clone().count() == 18);
        assert!(counts.map(|c| &c.field.data_type).all(|t| *t == DataType::Long));
        let inputs = audit.column("inputs").unwrap();
        assert_eq!(
            inputs.field.data_type.to_string(),
            "ARRAY<STRUCT<name: STRING, table_id: STRING, version: BIGINT, data_version: BIGINT>>"
        );
        let checks = audit.column("checks").unwrap();
        assert_eq!(
            checks.field.data_type.to_string(),
            "ARRAY<STRUCT<name: STRING, column: STRING, action: STRING, examined: BIGINT, \
             failed: BIGINT, percent: DOUBLE, threshold: STRING, verdict: STRING, \
             examples: ARRAY<STRING>, value: STRING>>"
        );
    }

    #[test]
    fn watermarks_are_keyed_by_pipeline_and_number() {
        let watermarks = parse(LOAD_WATERMARKS);
        let expected = [
            "pipeline STRING NOT NULL",
            "sequence BIGINT NOT NULL",
            "batch_id STRING NOT NULL",
            "as_of DATE NOT NULL",
            "watermark DATE",
            "own DATE",
            "updated_at TIMESTAMP NOT NULL",
        ];
        assert_eq!(shape(&watermarks), expected);
        assert_eq!(watermarks.primary_key, ["pipeline", "sequence"]);
    }

    #[test]
    fn a_table_made_from_its_contract_has_no_differences() {
        for (name, text) in SHIPPED {
            let table = parse(text);
            assert_eq!(table.differences(&as_made(&table)), [""; 0], "{name}");
        }
    }
}

mod accepted {
    use super::*;

    #[test]
    fn every_type_is_mapped() {
        let types = [
            ("INT", DataType::Int),
            ("INTEGER", DataType::Int),
            ("BIGINT", DataType::Long),
            ("LONG", DataType::Long),
            ("SMALLINT", DataType::Short),
            ("TINYINT", DataType::Byte),
            ("DECIMAL(38,18)", DataType::Decimal(38, 18)),
            ("DATE", DataType::Date),
            ("TIMESTAMP", DataType::Timestamp),
            ("TIMESTAMP_NTZ", DataType::TimestampNtz),
            ("STRING", DataType::String),
            ("BOOLEAN", DataType::Boolean),
            ("FLOAT", DataType::Float),
            ("DOUBLE", DataType::Double),
            ("BINARY", DataType::Binary),
            ("ARRAY<INT>", DataType::Array(Box::new(DataType::Int))),
            (
                "MAP<STRING, ARRAY<INT>>",
                DataType::Map(Box::new(DataType::String), Box::new(DataType::Array(Box::new(DataType::Int)))),
            ),
            (
                "STRUCT<a: INT, `b c`: DATE>",
                DataType::Struct(vec![
                    Field { name: "a".to_owned(), data_type: DataType::Int, nullable: true },
                    Field { name: "b c".to_owned(), data_type: DataType::Date, nullable: true },
                ]),
            ),
        ];
        for (sql, expected) in types {
            let table = parse(&format!("CREATE TABLE t (a {sql}) USING DELTA"));
            assert_eq!(table.columns[0].field.data_type, expected, "{sql}");
        }
    }

    #[test]
    fn clauses_may_come_in_any_order_and_case_with_comments_and_a_semicolon() {
        let spark = "CREATE TABLE t (a INT NOT NULL, b DATE COMMENT 'it''s', PRIMARY KEY (a)) -- why\n\
                     USING DELTA PARTITIONED BY (b) COMMENT 'what' TBLPROPERTIES ('k' = 'v')";
        let other = "create table t (a int not null, b date comment 'it''s', primary key (a))\n\
                     comment 'what' tblproperties ('k' = 'v') partitioned by (b) using delta;\n";
        let table = parse(spark);
        assert_eq!(table, parse(other));
        assert_eq!(table.comment.as_deref(), Some("what"));
        assert_eq!(table.columns[1].comment.as_deref(), Some("it's"));
    }
}

mod refused {
    use super::*;

    #[test]
    fn anything_but_one_create_table() {
        let expected = "expected one CREATE TABLE statement and nothing else, found";
        for text in [
            "",
            "-- nothing",
            "SELECT 1",
            "DROP TABLE t",
            "CREATE VIEW v AS SELECT 1",
            "CREATE OR REPLACE TABLE t (a INT) USING DELTA",
            "CREATE EXTERNAL TABLE t (a INT) USING DELTA",
            "CREATE TEMPORARY TABLE t (a INT) USING DELTA",
            "CREATE TABLE t (a INT) USING DELTA; CREATE TABLE u (a INT) USING DELTA",
        ] {
            let message = refused(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn every_clause_that_is_not_understood() {
        for (tail, clause) in [
            ("USING DELTA LOCATION 's3://b/t'", "LOCATION"),
            ("USING DELTA CLUSTER BY (a)", "CLUSTER"),
            ("USING DELTA CLUSTERED BY (a) INTO 4 BUCKETS", "CLUSTERED"),
            ("USING DELTA OPTIONS ('k' = 'v')", "OPTIONS"),
            ("USING DELTA AS SELECT 1", "AS"),
            ("USING DELTA DEFAULT COLLATION UTF8_BINARY", "DEFAULT"),
            ("STORED AS PARQUET", "STORED"),
            ("ROW FORMAT DELIMITED", "ROW"),
            ("WITH (k = 'v')", "WITH"),
            ("USING DELTA )", ")"),
        ] {
            let message = refused(&format!("CREATE TABLE t (a INT) {tail}"));
            let expected = format!("`{clause}` is not understood here");
            assert!(message.contains(&expected), "{tail}: {message}");
        }
        for (head, clause) in [
            ("CREATE TABLE IF NOT EXISTS t (a INT) USING DELTA", "IF"),
            ("CREATE TABLE a.t (a INT) USING DELTA", "."),
            ("CREATE TABLE t LIKE u", "LIKE"),
            ("CREATE TABLE t CLONE u", "CLONE"),
            ("CREATE TABLE t AS SELECT 1", "AS"),
            ("CREATE TABLE t USING DELTA", "USING"),
        ] {
            let message = refused(head);
            let expected = format!("`{clause}` is not understood here");
            assert!(message.contains(&expected), "{head}: {message}");
        }
    }

    #[test]
    fn every_clause_that_is_stated_twice() {
        for (tail, clause) in [
            ("USING DELTA USING DELTA", "USING"),
            ("USING DELTA PARTITIONED BY (a) PARTITIONED BY (a)", "PARTITIONED BY"),
            ("USING DELTA COMMENT 'x' COMMENT 'x'", "COMMENT"),
            ("USING DELTA TBLPROPERTIES ('k' = 'v') TBLPROPERTIES ('l' = 'v')", "TBLPROPERTIES"),
        ] {
            let message = refused(&format!("CREATE TABLE t (a INT) {tail}"));
            assert!(message.contains(&format!("{clause} is stated twice")), "{tail}: {message}");
        }
        let keys = "CREATE TABLE t (a INT NOT NULL, PRIMARY KEY (a), PRIMARY KEY (a)) USING DELTA";
        assert!(refused(keys).contains("PRIMARY KEY is stated twice"));
        let properties = "CREATE TABLE t (a INT) USING DELTA TBLPROPERTIES ('k' = '1', 'k' = '2')";
        assert!(refused(properties).contains("property 'k' is set twice"));
    }

    #[test]
    fn every_column_option_but_not_null_and_comment() {
        for option in [
            "DEFAULT 1",
            "CHECK (a > 0)",
            "GENERATED ALWAYS AS (b + 1)",
            "GENERATED ALWAYS AS IDENTITY",
            "NULL",
            "UNIQUE",
            "PRIMARY KEY",
            "REFERENCES u (a)",
            "COLLATE UTF8_BINARY",
            "CONSTRAINT c NOT NULL",
            "NOT NULL NOT NULL",
            "COMMENT 'x' COMMENT 'y'",
        ] {
            let text = format!("CREATE TABLE t (a INT {option}) USING DELTA");
            let message = refused(&text);
            assert!(message.starts_with("t.sql:1:17: column `a`: `"), "{option}: {message}");
            assert!(message.contains("is not supported; a column has"), "{option}: {message}");
        }
    }

    #[test]
    fn every_constraint_but_a_plain_primary_key() {
        for constraint in [
            "CHECK (a > 0)",
            "CONSTRAINT c CHECK (a > 0)",
            "UNIQUE (a)",
            "FOREIGN KEY (a) REFERENCES u (a)",
            "PRIMARY KEY (a DESC)",
            "PRIMARY KEY (a) ENFORCED",
            "PRIMARY KEY (a) DEFERRABLE",
        ] {
            let message = refused(&format!("CREATE TABLE t (a INT NOT NULL, {constraint}) USING DELTA"));
            let expected = "the only constraint is PRIMARY KEY (columns)";
            assert!(message.starts_with("t.sql:1:"), "{constraint}: {message}");
            assert!(message.contains(expected), "{constraint}: {message}");
        }
    }

    #[test]
    fn types_that_delta_does_not_keep_as_written() {
        for sql in [
            "INT(11)",
            "STRING(10)",
            "VARCHAR(10)",
            "CHAR(3)",
            "DECIMAL",
            "DECIMAL(10)",
            "DECIMAL(39,0)",
            "DECIMAL(0,0)",
            "DECIMAL(5,6)",
            "DECIMAL(10,-2)",
            "TIMESTAMP(3)",
            "TIMESTAMP WITH TIME ZONE",
            "INT UNSIGNED",
            "REAL",
            "JSON",
            "VARIANT",
            "INTERVAL",
            "STRUCT",
            "STRUCT<INT>",
            "ARRAY<VARCHAR(3)>",
            "MAP<STRING, JSON>",
        ] {
            let error =
                TableDef::parse("t.sql", &format!("CREATE TABLE t (a {sql}) USING DELTA")).unwrap_err();
            let unsupported = matches!(&error.problem, DdlProblem::UnsupportedType { .. });
            assert!(unsupported, "{sql}: {error}");
        }
    }

    #[test]
    fn columns_that_contradict_the_rest() {
        for (body, tail, expected) in [
            ("a INT, A DATE", "", "column `A` is defined twice"),
            ("a INT", "PARTITIONED BY (b)", "PARTITIONED BY names column `b`, which the table does"),
            ("a INT", "PARTITIONED BY (a, a)", "PARTITIONED BY names column `a` twice"),
            ("a INT, PRIMARY KEY (b)", "", "PRIMARY KEY names column `b`, which the table does"),
            ("a INT NOT NULL, PRIMARY KEY (a, a)", "", "PRIMARY KEY names column `a` twice"),
            ("a INT, PRIMARY KEY (a)", "", "must be declared NOT NULL"),
        ] {
            let message = refused(&format!("CREATE TABLE t ({body}) USING DELTA {tail}"));
            assert!(message.contains(expected), "{body} {tail}: {message}");
        }
    }

    #[test]
    fn a_table_without_format_or_of_another() {
        for tail in ["", "USING PARQUET", "USING ICEBERG", "PARTITIONED BY (a)"] {
            let message = refused(&format!("CREATE TABLE t (a INT) {tail}"));
            assert!(message.contains("must be declared USING DELTA"), "{tail}: {message}");
        }
    }

    #[test]
    fn what_does_not_parse_with_the_place_it_stands() {
        let error =
            TableDef::parse("tables/t.sql", "CREATE TABLE t (\n  a INT,\n  b\n) USING DELTA").unwrap_err();
        assert_eq!(error.position, Some(Position { line: 4, column: 1 }));
        assert!(matches!(error.problem, DdlProblem::Syntax(_)));
        assert_eq!(error.to_string(), "tables/t.sql:4:1: Expected: a data type name, found: )");
        for (text, place) in [
            ("CREATE TABLE t (a INT COMMENT 'open) USING DELTA", "t.sql:1:31: "),
            ("CREATE TABLE t (a INT) USING DELTA TBLPROPERTIES (k = 'v')", "t.sql:1:51: "),
            ("CREATE TABLE t (a INT) USING DELTA TBLPROPERTIES ('k' = v)", "t.sql:1:57: "),
            ("CREATE TABLE t (a INT) USING DELTA PARTITIONED BY (days(a))", "t.sql:1:56: "),
            ("CREATE TABLE t (a INT,) USING DELTA", "t.sql:1:23: "),
            ("CREATE TABLE t (a INT[]) USING DELTA", "t.sql:1:22: "),
            ("CREATE TABLE t () USING DELTA", "t.sql: the table has no columns"),
        ] {
            let message = refused(text);
            assert!(message.starts_with(place), "{text}: {message}");
        }
    }
}

mod schema_json {
    use super::*;

    /// One column of every type.
    const EVERY_TYPE: &str = "CREATE TABLE t (
        a INT NOT NULL COMMENT 'key', b BIGINT, c SMALLINT, d TINYINT, e DECIMAL(10,2), f DATE, g TIMESTAMP,
        h TIMESTAMP_NTZ, i STRING, j BOOLEAN, k FLOAT, l DOUBLE, m BINARY, n ARRAY<STRUCT<x: INT, y: ARRAY<DATE>>>,
        o MAP<STRING, STRUCT<z: BINARY>>
    ) USING DELTA";

    #[test]
    fn is_delta_s_own_form() {
        let schema = parse(
            "CREATE TABLE t (a INT NOT NULL COMMENT 'key', b ARRAY<STRUCT<x: LONG>>, \
                            c DECIMAL(10,2), d MAP<STRING, TIMESTAMP_NTZ>) USING DELTA",
        )
        .schema_json();
        let expected = r#"{"type":"struct","fields":[
            {"name":"a","type":"integer","nullable":false,"metadata":{"comment":"key"}},
            {"name":"b","type":{"type":"array","elementType":{"type":"struct","fields":[
                {"name":"x","type":"long","nullable":true,"metadata":{}}]},"containsNull":true},
             "nullable":true,"metadata":{}},
            {"name":"c","type":"decimal(10,2)","nullable":true,"metadata":{}},
            {"name":"d","type":{"type":"map","keyType":"string","valueType":"timestamp_ntz",
             "valueContainsNull":true},"nullable":true,"metadata":{}}]}"#;
        assert_eq!(schema, serde_json::from_str::<Value>(expected).unwrap());
    }

    #[test]
    fn and_back_is_the_same_for_every_type_and_every_shipped_table() {
        for text in SHIPPED.map(|(_, text)| text).into_iter().chain([EVERY_TYPE]) {
            let table = parse(text);
            assert_eq!(columns_from_schema_json(&table.schema_json()).unwrap(), table.columns);
        }
    }

    #[test]
    fn types_no_contract_can_have_are_named_with_their_column() {
        let member = json!({"name": "m", "type": "variant", "nullable": true, "metadata": {}});
        let inner = json!({"type": "array", "containsNull": true,
            "elementType": {"type": "struct", "fields": [member]}});
        for (json_type, expected) in [
            (json!("variant"), "column `c`: type variant is not supported"),
            (json!("decimal(39,0)"), "column `c`: type decimal(39,0) is not supported"),
            (json!({"type": "udt"}), "column `c`: type udt is not supported"),
            (inner, "column `c.element.m`: type variant is not supported"),
            (json!({"type": "map", "keyType": "date"}), "column `c`: \"valueType\" is missing"),
        ] {
            let field = json!({"name": "c", "type": json_type, "nullable": true, "metadata": {}});
            let schema = json!({"type": "struct", "fields": [field]});
            let error = columns_from_schema_json(&schema).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn json_that_is_not_a_schema_is_refused() {
        for (json, expected) in [
            (json!([]), "schema: expected an object of type \"struct\""),
            (json!({"type": "struct"}), "schema: \"fields\" is missing"),
            (json!({"type": "struct", "fields": 1}), "schema: \"fields\" is not a list"),
            (json!({"type": "struct", "fields": [{}]}), "schema: \"name\" is missing"),
            (
                json!({"type": "struct", "fields": [{"name": "a", "nullable": 1}]}),
                "column `a`: \"nullable\" is neither true nor false",
            ),
        ] {
            assert_eq!(columns_from_schema_json(&json).unwrap_err().to_string(), expected);
        }
    }
}

mod differences {
    use super::*;

    const CONTRACT: &str = "CREATE TABLE t (a INT NOT NULL COMMENT 'key', b DATE, c STRUCT<x: INT>) \
                            USING DELTA PARTITIONED BY (b) TBLPROPERTIES ('k' = 'v')";

    /// What differs once `change` was done to the table that the contract makes.
    fn after(change: impl FnOnce(&mut ActualTable)) -> Vec<String> {
        let contract = parse(CONTRACT);
        let mut actual = as_made(&contract);
        change(&mut actual);
        contract.differences(&actual)
    }

    fn set(table: &mut ActualTable, key: &str, value: &str) {
        table.properties.insert(key.to_owned(), value.to_owned());
    }

    #[test]
    fn what_a_table_has_beyond_its_contract_is_none() {
        let none: [String; 0] = [];
        let more = after(|t| {
            let mut extra = t.columns[1].clone();
            extra.field.name = "z".to_owned();
            t.columns.insert(0, extra);
            t.columns[2].comment = Some("told more".to_owned());
            set(t, "other", "value");
        });
        assert_eq!(more, none);
    }

    #[test]
    fn each_kind_is_a_sentence() {
        assert_eq!(after(|t| drop(t.columns.remove(1))), ["column `b` (DATE) is missing"]);
        assert_eq!(
            after(|t| t.columns[0].field.data_type = DataType::Long),
            ["column `a` is BIGINT, the contract says INT"]
        );
        assert_eq!(
            after(|t| t.columns[0].field.nullable = true),
            ["column `a` may be NULL, the contract says NOT NULL"]
        );
        assert_eq!(
            after(|t| t.columns[1].field.nullable = false),
            ["column `b` is NOT NULL, the contract lets it be NULL"]
        );
        assert_eq!(
            after(|t| t.columns[0].comment = None),
            ["column `a` has no comment, the contract says 'key'"]
        );
        assert_eq!(
            after(|t| t.columns[0].comment = Some("id".to_owned())),
            ["column `a` has the comment 'id', the contract says 'key'"]
        );
        assert_eq!(
            after(|t| t.columns[1].field.name = "B".to_owned()),
            ["column `b` is spelled `B` in the table"]
        );
        assert_eq!(
            after(|t| t.partitioned_by.clear()),
            ["the table is not partitioned, the contract says partitioned by (b)"]
        );
        assert_eq!(after(|t| set(t, "k", "w")), ["property 'k' is 'w', the contract says 'v'"]);
        assert_eq!(after(|t| t.properties.clear()), ["property 'k' is not set, the contract says 'v'"]);
        let strict = Field { name: "x".to_owned(), data_type: DataType::Int, nullable: false };
        assert_eq!(
            after(|t| t.columns[2].field.data_type = DataType::Struct(vec![strict])),
            ["column `c` has other members NOT NULL than the contract, in STRUCT<x: INT>"]
        );
    }

    #[test]
    fn expiring_transaction_entries_always_are_one() {
        let message = after(|t| {
            set(t, "delta.setTransactionRetentionDuration", "interval 30 days");
        });
        assert_eq!(
            message,
            ["property 'delta.setTransactionRetentionDuration' is 'interval 30 days': \
              transaction entries would expire, which loses the checkpoints"]
        );
    }
}
