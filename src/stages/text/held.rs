//! Deduped rows, held against the target's.

use super::{FOUND, Text, all_of, target_partition};
use crate::config::OnTie;
use crate::engine::sql::{Ident, Template, column};
use crate::notation::NullKeys;

impl Text<'_> {
    /// Deduped rows beside the target's, as Spark joins them; this program looks them up.
    #[must_use]
    pub fn located(&self, target: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (index, name) in self.spec.partition_columns.iter().enumerate() {
            parts.push(format!(",\n  {} AS {}", column("t", name), Ident(&target_partition(index))));
        }
        // What is in every row of the target, and in none that an outer join makes up.
        let (found, target) = match self.spec.rules.null_keys {
            NullKeys::Reject => (column("t", &self.spec.rules.unique_key[0]), target.to_owned()),
            NullKeys::Match => {
                (column("t", FOUND), format!("(SELECT *, TRUE AS {} FROM {target})", Ident(FOUND)))
            }
        };
        Template::new(include_str!("../../sql/located.sql"))
            .set("found", found)
            .set("their_version", self.version("t"))
            .set("target_hash", column("t", &self.spec.rules.load_columns.row_hash))
            .set("target_parts", parts.concat())
            .set("target", target)
            .set("on", self.on_key("t", "s"))
            .finish()
    }

    /// Rows of the relation `level` that have the target's version and its row hash.
    #[must_use]
    pub fn hashed(&self, target: &str) -> String {
        Template::new(include_str!("../../sql/hashed.sql"))
            .set("key", self.named_key())
            .set("row_hash", Ident(&self.spec.rules.load_columns.row_hash).to_string())
            .set("target", target)
            .set("on", self.on_key("t", "s"))
            .finish()
    }

    fn named_key(&self) -> String {
        let named = |key: &String| format!("{} AS {}", column("s", key), Ident(key));
        self.spec.rules.unique_key.iter().map(named).collect::<Vec<_>>().join(", ")
    }

    /// Rows of `located` whose hash cannot settle whether they equal the target's.
    #[must_use]
    pub fn compared(&self, located: &str, target: &str) -> String {
        let same = |name| {
            let [staged, there] = ["s", "t"].map(|alias| self.comparable(alias, name));
            format!("({staged} IS NOT DISTINCT FROM {there})")
        };
        let same = self.payload().map(same).collect();
        Template::new(include_str!("../../sql/compared.sql"))
            .set("key", self.named_key())
            .set("located", located)
            .set("same", all_of(same))
            .set("version", self.version("s"))
            .set("their_version", self.version("t"))
            .set("row_hash", Ident(&self.spec.rules.load_columns.row_hash).to_string())
            .set("target", target)
            .set("on", self.on_key("t", "s"))
            .finish()
    }

    /// Located rows with their class.
    #[must_use]
    pub fn classified(&self) -> String {
        let tie = match self.spec.rules.on_tie {
            OnTie::ReplaceIfDifferent => "updated",
            OnTie::Keep | OnTie::Fail => "tied",
        };
        Template::new(include_str!("../../sql/classified.sql"))
            .set("version", self.version("s"))
            .set("tie", tie)
            .set("on", self.on_key("c", "s"))
            .finish()
    }
}
