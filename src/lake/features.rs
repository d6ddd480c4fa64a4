//! What a table's protocol asks of its readers and writers, and what of it highwater cannot do.

use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{PROTOCOL, TransactionError};

use super::table::{Table, failed};
use crate::error::{Error, Result};

/// A table feature that the table library lacks.
struct Feature {
    /// As the protocol names it.
    name: &'static str,
    /// What a table that has it asks for.
    means: &'static str,
    /// What a person can do.
    helps: &'static str,
}

/// The newest protocol versions that there are.
const NEWEST_READER: i32 = 3;
const NEWEST_WRITER: i32 = 7;

const DROP: &str = "ALTER TABLE … DROP FEATURE takes it off, with the engine that put it there";
const COPY: &str = "it cannot be taken off: copy the table without it, CREATE TABLE … AS SELECT";

/// What is known of the features that highwater lacks. The library itself says which those are.
const FEATURES: [Feature; 16] = [
    Feature {
        name: "catalogManaged",
        means: "a catalog decides which commits count",
        helps: "take the table out of the catalog's hands, or copy it",
    },
    Feature {
        name: "catalogOwned-preview",
        means: "a catalog decides which commits count",
        helps: "take the table out of the catalog's hands, or copy it",
    },
    Feature { name: "typeWidening", means: "files hold older, narrower types than the table", helps: DROP },
    Feature {
        name: "typeWidening-preview",
        means: "files hold older, narrower types than the table",
        helps: DROP,
    },
    Feature { name: "vacuumProtocolCheck", means: "VACUUM must check the protocol first", helps: DROP },
    Feature { name: "rowTracking", means: "each row has an id that every writer must keep", helps: DROP },
    Feature {
        name: "inCommitTimestamp",
        means: "each commit carries a time that never goes back",
        helps: DROP,
    },
    Feature { name: "identityColumns", means: "a column numbers the rows that are written", helps: COPY },
    Feature {
        name: "clustering",
        means: "rows are laid out by clustering columns",
        helps: "ALTER TABLE … CLUSTER BY NONE, then DROP FEATURE clustering",
    },
    Feature {
        name: "domainMetadata",
        means: "the log holds settings of other engines' features",
        helps: DROP,
    },
    Feature { name: "icebergCompatV1", means: "files must be readable as Iceberg", helps: DROP },
    Feature { name: "icebergCompatV2", means: "files must be readable as Iceberg", helps: DROP },
    Feature { name: "icebergCompatV3", means: "files must be readable as Iceberg", helps: DROP },
    Feature {
        name: "allowColumnDefaults",
        means: "a column that a writer leaves out gets a default",
        helps: DROP,
    },
    Feature { name: "collations", means: "text is compared by a language's rules", helps: COPY },
    Feature {
        name: "variantShredding-preview",
        means: "parts of VARIANT columns lie in columns of their own",
        helps: DROP,
    },
];

impl Table {
    /// Makes sure that the table can be read.
    ///
    /// # Errors
    /// Names the features that keep it from being read, and what helps.
    pub fn check_readable(&self) -> Result<()> {
        self.refuse_version(
            "read",
            "reader",
            self.snapshot()?.protocol().min_reader_version(),
            NEWEST_READER,
        )?;
        self.refuse("read", PROTOCOL.can_read_from(self.snapshot()?))
    }

    /// Makes sure that the table can be written.
    ///
    /// # Errors
    /// Names the features that keep it from being written, and what helps.
    pub fn check_writable(&self) -> Result<()> {
        self.refuse_version(
            "write",
            "writer",
            self.snapshot()?.protocol().min_writer_version(),
            NEWEST_WRITER,
        )?;
        self.refuse("write", PROTOCOL.can_write_to(self.snapshot()?.snapshot()))
    }

    /// From versions 3 and 7 on tables name their features instead, so a higher number means that all has changed.
    fn refuse_version(&self, verb: &str, role: &str, found: i32, newest: i32) -> Result<()> {
        if found <= newest {
            return Ok(());
        }
        Err(Error::usage(format!(
            "cannot {verb} table `{}`: it asks for {role} version {found} of Delta's protocol, and highwater knows \
             those up to {newest}",
            self.name
        ))
        .hint("look for a newer highwater, or copy the table: CREATE TABLE … AS SELECT"))
    }

    fn refuse(&self, verb: &str, found: std::result::Result<(), TransactionError>) -> Result<()> {
        match found {
            Ok(()) => Ok(()),
            Err(TransactionError::UnsupportedTableFeatures(features)) => {
                let mut names: Vec<String> = features.iter().map(ToString::to_string).collect();
                names.sort();
                Err(lacking(&format!("cannot {verb} table `{}`", self.name), &names))
            }
            Err(source) => {
                let what = format!("cannot {verb} table `{}`", self.name);
                Err(failed(&what, DeltaTableError::Transaction { source }))
            }
        }
    }
}

/// The error for a table that could not even be opened, because of a feature that the error's text names.
pub(super) fn unreadable(what: &str, error: DeltaTableError) -> Error {
    let text = error.to_string();
    let quoted = text.split_once("Feature '").and_then(|(_, rest)| rest.split_once('\''));
    match quoted {
        Some((name, _)) => lacking(what, &[name.to_owned()]),
        None if text.contains("Max catalog version") => lacking(what, &["catalogManaged".to_owned()]),
        None => failed(what, error),
    }
}

fn lacking(what: &str, names: &[String]) -> Error {
    let known = |name: &String| FEATURES.iter().find(|feature| feature.name == name);
    let told: Vec<String> = names
        .iter()
        .map(|name| match known(name) {
            Some(feature) => format!("`{name}` ({})", feature.means),
            None => format!("`{name}` (which this version of highwater has not heard of)"),
        })
        .collect();
    let mut hints: Vec<&str> =
        names.iter().map(|name| known(name).map_or(DROP, |feature| feature.helps)).collect();
    hints.dedup();
    let plural = if names.len() == 1 { "feature" } else { "features" };
    Error::usage(format!("{what}: it has the {plural} {}, which highwater lacks", told.join(", ")))
        .hint(hints.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn feature_is_named_with_what_it_means_and_what_helps() {
        let error = lacking("cannot write table `t`", &["identityColumns".to_owned(), "x".to_owned()]);
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(
            error.to_string(),
            "cannot write table `t`: it has the features `identityColumns` (a column numbers the rows that are \
             written), `x` (which this version of highwater has not heard of), which highwater lacks"
        );
        assert_eq!(error.hint_text(), Some(format!("{COPY}; {DROP}").as_str()));
    }

    #[test]
    fn feature_is_read_from_the_text_of_an_error_that_keeps_the_table_from_being_opened() {
        let error =
            |text: &str| unreadable("cannot open", DeltaTableError::Generic(text.to_owned())).to_string();
        assert!(error("Unsupported: Feature 'abc2031' is not supported").contains("`abc2031`"));
        assert!(error("Max catalog version is required when loading").contains("`catalogManaged`"));
    }
}
