//! The function that hashes values with a key.

use std::sync::Arc;

use deltalake::arrow::array::{AsArray as _, StringArray};
use deltalake::arrow::datatypes::DataType;
use deltalake::datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};

use super::Engine;
use crate::config::Secret;

/// The function's name.
pub const KEYED_HASH: &str = "keyed_hash";

impl Engine {
    /// The same, with the function `keyed_hash(text)`: HMAC-SHA256 with this key, in lower-case hex, NULL for NULL.
    #[must_use]
    pub fn with_mask_key(self, key: Option<&Secret>) -> Self {
        let Some(key) = key.cloned() else { return self };
        let hash = move |values: &[ColumnarValue]| {
            let texts = ColumnarValue::values_to_arrays(values)?;
            let texts = texts[0].as_string::<i32>();
            let hashes: StringArray = texts.iter().map(|text| Some(key.keyed_hash(text?))).collect();
            Ok(ColumnarValue::Array(Arc::new(hashes)))
        };
        self.context.register_udf(create_udf(
            KEYED_HASH,
            vec![DataType::Utf8],
            DataType::Utf8,
            Volatility::Immutable,
            Arc::new(hash),
        ));
        self
    }
}
