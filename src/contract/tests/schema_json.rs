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
