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
        ("USING DELTA LOCATION '/x' LOCATION '/x'", "LOCATION"),
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
        "GENERATED ALWAYS AS (b + 1)",
        "GENERATED ALWAYS AS IDENTITY",
        "NULL",
        "UNIQUE",
        "PRIMARY KEY ENFORCED",
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
        "UNIQUE (a)",
        "FOREIGN KEY (a) REFERENCES u (a)",
        "PRIMARY KEY (a DESC)",
        "PRIMARY KEY (a) ENFORCED",
        "PRIMARY KEY (a) DEFERRABLE",
    ] {
        let message = refused(&format!("CREATE TABLE t (a INT NOT NULL, {constraint}) USING DELTA"));
        let expected = "the constraints are CHECK (condition), and PRIMARY KEY (columns)";
        assert!(message.starts_with("t.sql:1:"), "{constraint}: {message}");
        assert!(message.contains(expected), "{constraint}: {message}");
    }
}

#[test]
fn types_that_delta_does_not_keep_as_written() {
    for sql in [
        "INT(11)",
        "STRING(10)",
        "VARCHAR",
        "VARCHAR(MAX)",
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
        let error = TableDef::parse("t.sql", &format!("CREATE TABLE t (a {sql}) USING DELTA")).unwrap_err();
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

#[test]
fn what_cannot_be_kept_is_refused_with_the_reason_and_what_to_do() {
    for (text, why) in [
        ("CREATE OR REPLACE TABLE t (a INT) USING DELTA", "would drop rows"),
        ("CREATE TABLE t (a INT) USING DELTA CLUSTER BY (a)", "PARTITIONED BY lays files out"),
        ("CREATE TABLE t (a INT DEFAULT 1) USING DELTA", "columns: {a: {default: …}}"),
        (
            "CREATE TABLE t (a INT, CONSTRAINT c CHECK (a > 0), CONSTRAINT c CHECK (a > 1)) USING DELTA",
            "`c` is there twice",
        ),
        (
            "CREATE TABLE t (a INT NOT NULL PRIMARY KEY, PRIMARY KEY (a)) USING DELTA",
            "PRIMARY KEY is stated twice",
        ),
        ("CREATE TABLE t (a INT PRIMARY KEY) USING DELTA", "must be declared NOT NULL"),
    ] {
        let message = refused(text);
        assert!(message.contains(why), "{text}: {message}");
    }
}
