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

#[test]
fn ddl_as_people_write_it_is_understood() {
    let table = parse(
        "CREATE TABLE IF NOT EXISTS main.sales.t (
           id BIGINT NOT NULL PRIMARY KEY, code VARCHAR(3), flag CHAR(1), n INT CHECK (n > 0),
           CONSTRAINT sane CHECK (n < 100), CHECK (id <> n)
         ) USING delta LOCATION 's3://lake/t' TBLPROPERTIES ('k' = 'v')",
    );
    assert_eq!((table.name.as_str(), table.location.as_deref()), ("t", Some("s3://lake/t")));
    assert_eq!(table.primary_key, ["id"]);
    assert_eq!(shape(&table), ["id BIGINT NOT NULL", "code STRING", "flag STRING", "n INT"]);
    let properties: Vec<_> = table.properties.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    assert_eq!(
        properties,
        [
            "delta.constraints.check_5: id <> n",
            "delta.constraints.code_length: length(`code`) <= 3",
            "delta.constraints.flag_length: length(`flag`) <= 1",
            "delta.constraints.n_check: n > 0",
            "delta.constraints.sane: n < 100",
            "k: v",
        ]
    );
    let written = TableDef { location: None, ..table.clone() };
    assert_eq!(parse(&table.to_string()), written);
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
        assert!(counts.clone().count() == 19);
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

mod refused;

mod schema_json;

mod differences;
