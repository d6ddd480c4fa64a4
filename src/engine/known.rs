//! Relations that SQL knows by a name, as long as somebody needs them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deltalake::datafusion::common::TableReference;

use super::session::Engine;

/// A relation under its name. The name is forgotten, and with it the rows, when this is dropped, unless another relation
/// has taken it meanwhile.
#[must_use = "the relation is forgotten when this is dropped"]
pub struct Known<'e> {
    engine: &'e Engine,
    name: String,
    number: u64,
}

/// Which relation has a name: each gets a number of its own.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<(u64, HashMap<String, u64>)>);

impl Names {
    fn take(&self, name: &str) -> u64 {
        let mut names = self.lock();
        names.0 += 1;
        let number = names.0;
        names.1.insert(name.to_owned(), number);
        number
    }

    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<String, u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'e> Known<'e> {
    pub(super) fn new(engine: &'e Engine, name: &str) -> Self {
        Self { engine, name: name.to_owned(), number: engine.names.take(name) }
    }

    /// Keeps the relation as long as the engine is there.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut names = self.engine.names.lock();
        if names.1.get(&self.name) != Some(&self.number) {
            return;
        }
        names.1.remove(&self.name);
        if let Err(error) = self.engine.context.deregister_table(TableReference::bare(self.name.as_str())) {
            tracing::debug!(relation = self.name, %error, "a relation was not forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::datatypes::Schema;

    use super::super::sql::Params;
    use super::super::{Engine, Rows};

    #[tokio::test]
    async fn relation_is_known_until_it_is_dropped_and_one_that_took_its_name_stays() {
        let engine = Engine::new(1 << 30);
        let none = Rows { schema: Arc::new(Schema::empty()), batches: Vec::new() };
        let is_known = async || engine.rows("SELECT COUNT(*) AS n FROM r", &Params::new()).await.is_ok();
        let first = engine.register_rows("r", &none).unwrap();
        assert!(is_known().await);
        let second = engine.register_rows("r", &none).unwrap();
        drop(first);
        assert!(is_known().await);
        drop(second);
        assert!(!is_known().await);
        engine.register_rows("r", &none).unwrap().keep();
        assert!(is_known().await);
    }
}
