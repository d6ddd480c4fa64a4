//! Files that cannot hold certain values, as the statistics in the log say.
//!
//! Only whole numbers and dates are trusted. Of texts the log may have a beginning only, of decimals with many digits and
//! of times a rounded value, and of floats NaN is in no bound.

use std::collections::BTreeSet;

use delta_kernel::expressions::{Scalar, StructData};
use deltalake::arrow::datatypes::DataType;
use deltalake::kernel::LogicalFileView;

use super::file_id::FileId;
use super::table::Table;
use crate::error::Result;

/// Whether the log's bounds of a column of this type are the values themselves.
#[must_use]
pub const fn has_exact_bounds(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32
    )
}

impl Table {
    /// The files that may hold one of these values, which are sorted, in a column that [has exact
    /// bounds](has_exact_bounds). Dates are days since 1970.
    ///
    /// # Errors
    /// Fails when the files cannot be listed.
    pub fn files_that_may_hold(&self, column: &str, values: &[i64]) -> Result<BTreeSet<FileId>> {
        // Statistics call a mapped column by its name in the files.
        let trusted = !self.has_column_mapping()?;
        let may_hold = |view: &LogicalFileView| match trusted.then(|| bounds(view, column)).flatten() {
            Some((low, high)) if low <= high => {
                let next = values.get(values.partition_point(|value| *value < low));
                next.is_some_and(|value| *value <= high)
            }
            _ => true,
        };
        Ok(self.active()?.into_iter().filter(|(_, view)| may_hold(view)).map(|(file, _)| file).collect())
    }
}

/// The lowest and the highest value of a column in a file; `None` where the log does not say.
fn bounds(view: &LogicalFileView, column: &str) -> Option<(i64, i64)> {
    if let Some(value) = view.partition_values().and_then(|values| whole(&values, column)) {
        return Some((value, value));
    }
    let of = |values: Option<Scalar>| match values? {
        Scalar::Struct(values) => whole(&values, column),
        _ => None,
    };
    Some((of(view.min_values())?, of(view.max_values())?))
}

fn whole(values: &StructData, column: &str) -> Option<i64> {
    let at = values.fields().iter().position(|field| field.name() == column)?;
    match values.values().get(at)? {
        Scalar::Byte(value) => Some(i64::from(*value)),
        Scalar::Short(value) => Some(i64::from(*value)),
        Scalar::Integer(value) | Scalar::Date(value) => Some(i64::from(*value)),
        Scalar::Long(value) => Some(*value),
        _ => None,
    }
}
