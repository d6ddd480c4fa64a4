//! What a data file is called.

use std::fmt;

use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};

/// A data file's identity: the string by which the log names it, exactly as it stands there.
///
/// Writers encode one path in several ways (`Zürich`, `Z%C3%BCrich`, `Z%c3%bcrich`), and by Delta's protocol a
/// Remove takes away the Add with the very same string, and no other. So the string is never decoded and
/// encoded again; where a file lies, and how a scan calls it, is derived from it. Its last segment is no
/// identity either: files in two partitions may share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(String);

impl FileId {
    /// The file that the log names so.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The log's own string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a relative path that goes straight down.
    pub(super) fn is_plain(&self) -> bool {
        Url::parse(&self.0).is_err() && !self.0.split('/').any(|name| matches!(name, "" | "." | ".."))
    }

    /// The file's URL, by which a scan of the table at `root` calls it.
    pub(super) fn url(&self, root: &Url) -> String {
        let url = Url::parse(&self.0).or_else(|_| root.join(&self.0));
        url.map_or_else(|_| self.0.clone(), String::from)
    }

    /// Where the file lies in the store of the table at `root`.
    ///
    /// # Errors
    /// Fails for a person when the log's string is no such path.
    pub(super) fn path(&self, root: &Url) -> Result<Path> {
        let whole = self.url(root);
        let Some(relative) = whole.strip_prefix(root.as_str()) else {
            return Err(Error::person(format!("{self} lies outside of the table's folder")).hint(
                "a shallow clone, say, holds files of another table: rewrite it, so that it holds its own",
            ));
        };
        Path::from_url_path(relative).map_err(|error| {
            Error::person(format!("the log names a file as {self}, which is no path")).because(error)
        })
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Url {
        Url::parse("file:///lake/a%20table/").unwrap()
    }

    #[test]
    fn strings_that_differ_are_different_files_even_where_they_name_one_place() {
        let ids =
            ["c=Z%C3%BCrich/a.parquet", "c=Z%c3%bcrich/a.parquet", "c=Zürich/a.parquet"].map(FileId::new);
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        for id in &ids {
            assert_eq!(id.path(&root()).unwrap().as_ref(), "c=Zürich/a.parquet", "{id}");
        }
    }

    #[test]
    fn plain_path_goes_straight_down() {
        for plain in ["a.parquet", "c=Z%C3%BCrich/a b.parquet", "c=a:b/x", "..a/b", "a%2F/b"] {
            assert!(FileId::new(plain).is_plain(), "{plain}");
        }
        for other in ["/abs/a", "file:///lake/a", "s3://b/a", "./a", "a//b", "a/../b", "../a", "a/"] {
            assert!(!FileId::new(other).is_plain(), "{other}");
        }
    }

    #[test]
    fn path_is_decoded_once() {
        let at = |text: &str| FileId::new(text).path(&root()).unwrap().to_string();
        assert_eq!(at("c=New York/a.parquet"), "c=New York/a.parquet");
        assert_eq!(at("c=New%20York/a.parquet"), "c=New York/a.parquet");
        assert_eq!(at("c=10%253A30/a.parquet"), "c=10%3A30/a.parquet");
        assert_eq!(at("c=a%2Cb/a.parquet"), "c=a,b/a.parquet");
        assert_eq!(at("file:///lake/a%20table/c=x/a.parquet"), "c=x/a.parquet");
    }

    #[test]
    fn file_of_another_folder_is_refused() {
        let error = FileId::new("file:///elsewhere/a.parquet").path(&root()).unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
    }
}
