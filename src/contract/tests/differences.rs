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
