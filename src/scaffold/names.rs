//! What names of columns say.

/// Names of columns that say where a row came from.
pub(super) const LINEAGE: [&str; 14] = [
    "source_file",
    "file_name",
    "filename",
    "_file",
    "ingest_time",
    "ingested_at",
    "_ingested_at",
    "_loaded_at",
    "source_row",
    "_rescued_data",
    "_airbyte_extracted_at",
    "_airbyte_raw_id",
    "_fivetran_synced",
    "_dlt_load_id",
];

/// Names of version columns, the surest first; a `*` stands for anything.
pub(super) const VERSIONS: [&str; 19] = [
    "updated_at",
    "modified_at",
    "changed_at",
    "last_updated*",
    "last_modified*",
    "last_change*",
    "update_*",
    "modif*",
    "*updated*",
    "*modified*",
    "*changed*",
    "version",
    "revision",
    "row_version",
    "lsn",
    "seq*",
    "*_ts",
    "ts",
    "*timestamp*",
];

/// How names of keys end.
pub(super) const ID_ENDINGS: [&str; 10] =
    ["_id", "_key", "_no", "_nr", "_number", "_ref", "_code", "uuid", "guid", "id"];

/// Names of columns that tell a row from others of one document: lines of an order, days of a stock.
pub(super) const PARTS: [&str; 14] = [
    "line*", "*_line", "pos*", "*_pos", "item*", "*_item", "part*", "row*", "seq*", "index", "idx", "sku",
    "day", "date",
];

/// Whether two names are the same but for case and what stands between their words.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    plain(one) == plain(other)
}

/// What one row of a table might be called: of `stg_orders`, `order`.
pub(super) fn singular(table: &str) -> Vec<String> {
    let table = table.to_lowercase();
    table.split(['_', '-', '.']).map(|word| word.strip_suffix('s').unwrap_or(word).to_owned()).collect()
}

/// A name in words with `_` between them: `OrderRef` and `Order Ref.` are `order_ref`.
pub(super) fn words(name: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if (begins || !c.is_alphanumeric()) && !words.ends_with('_') && !words.is_empty() {
            words.push('_');
        }
        if c.is_alphanumeric() || (c == '_' && words.is_empty()) {
            words.extend(c.to_lowercase());
        }
        before = c;
    }
    words.trim_end_matches('_').to_owned()
}

/// Whether a name is like a pattern, in whatever case.
pub(super) fn is_like(name: &str, pattern: &str) -> bool {
    let name = words(name);
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}
