//! Names that no column of a table may have.

use crate::error::{Error, Result};

/// Beginnings of the names that somebody else uses for columns of their own in the same queries.
const RESERVED: [(&str, &str); 2] = [
    ("__delta_rs_", "the table library uses it inside a MERGE"),
    ("__hw_", "highwater uses it in its queries"),
];

/// Makes sure that no column is called what a query over the table calls a column of its own.
///
/// # Errors
/// Names the column.
pub fn check_column_names<'a>(table: &str, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    for name in names {
        let lower = name.to_lowercase();
        if let Some((prefix, why)) = RESERVED.iter().find(|(prefix, _)| lower.starts_with(prefix)) {
            return Err(Error::usage(format!(
                "table `{table}` has a column `{name}`, and names with `{prefix}` are reserved: {why}"
            ))
            .hint("rename the column"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_by_name_and_others_are_not() {
        for name in ["__delta_rs_source", "__delta_rs_path", "__DELTA_RS_x", "__hw_hash"] {
            let error = check_column_names("t", ["id", name]).unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
        check_column_names("t", ["_row_number", "$as_of", "delta_rs_source", "hw_x"]).unwrap();
    }
}
