//! Files that come before staging: which ones, how they are read, and what becomes of those that cannot be.

use std::path::Path;

use encoding_rs::Encoding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::location;
use super::pipeline::Location;
use super::resolve::Resolver;
use super::value;
use crate::error::Error;
use crate::notation::{Fault, Percent};

/// Files whose rows are brought into staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder that the pattern's fixed part names.
    pub folder: Location,
    /// Which files below it, as a pattern over their paths: `*`, `?`, `[…]`, and `**` for any folders.
    pub pattern: String,
    /// How they are written; by their names, if not said.
    pub format: Option<FileFormat>,
    /// How CSV files are written.
    pub csv: CsvForm,
    /// How text is encoded, as the WHATWG names it; UTF-8 if not said.
    pub encoding: Option<String>,
    /// Seconds that a file must have rested.
    pub settle_seconds: i64,
    /// What becomes of a file that came in before with other content.
    pub changed: Changed,
    /// What becomes of a row that cannot be read.
    pub on_corrupt: OnCorrupt,
    /// The share of such rows above which nothing is brought in.
    pub max_corrupt: Percent,
    /// The table with a row for each file.
    pub ledger: Location,
    /// The table of rows that could not be read.
    pub corrupt: Location,
}

impl Files {
    /// The files that a person named on the command line, a path or URL with a pattern in it, with the defaults of all else.
    /// A path starts in `folder`, which is absolute.
    ///
    /// # Errors
    /// Fails when the text holds no pattern, or its folder is none.
    pub fn named(text: &str, folder: &Path, staging: &Location) -> crate::error::Result<Self> {
        let bad = |fault: Fault| {
            let error = Error::usage(format!("files `{text}`: {}", fault.message));
            fault.hint.into_iter().fold(error, Error::hint)
        };
        let (folder, pattern) = split(text, folder).map_err(bad)?;
        Ok(Self::of(folder, pattern, staging))
    }

    /// Files with the defaults of all that can be said of them.
    fn of(folder: Location, pattern: String, staging: &Location) -> Self {
        Self {
            folder,
            pattern,
            format: None,
            csv: CsvForm { delimiter: b',', quote: b'"', escape: None, header: true, null: String::new() },
            encoding: None,
            settle_seconds: 0,
            changed: Changed::Reload,
            on_corrupt: OnCorrupt::Quarantine,
            max_corrupt: Percent::WHOLE,
            ledger: staging.sibling(LEDGER),
            corrupt: staging.sibling(CORRUPT),
        }
    }
}

/// How CSV files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvForm {
    /// What separates fields.
    pub delimiter: u8,
    /// What fields are quoted by.
    pub quote: u8,
    /// What a quote in a quoted field is escaped by; `None`: it is doubled.
    pub escape: Option<u8>,
    /// Whether the first line names the columns.
    pub header: bool,
    /// The text that means NULL.
    pub null: String,
}

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Fields separated by a character.
    Csv,
    /// Objects one after the other, or in one array, over as many lines as they like.
    Json,
    /// An object on each line.
    Ndjson,
    /// Parquet.
    Parquet,
    /// Object container files of Avro.
    Avro,
}

impl FileFormat {
    /// The format that a file's name tells, with what packs it left out.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let name =
            [".gz", ".zst", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        Some(match name.rsplit_once('.')?.1 {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "parquet" => Self::Parquet,
            "avro" => Self::Avro,
            _ => return None,
        })
    }
}

/// What becomes of a file that came in before, and has other content now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Changed {
    /// Its rows come in again, beside those that came before: of a key, the load takes the latest version.
    Reload,
    /// Nothing is brought in until a person decides: status 4.
    Refuse,
}

/// What the column is called, after another, that takes the texts which do not fit that one.
pub const TEXTS_OF: &str = "_string";

/// What becomes of a row that cannot be read as one of staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnCorrupt {
    /// It is kept in the table of such rows, with its file, line and text.
    Quarantine,
    /// Nothing is brought in: status 1.
    Fail,
    /// What does not fit its column is NULL there, and the row comes in; one that can be no row at all is kept aside.
    Permissive,
    /// What does not fit its column is NULL there, and its text comes into `<column>_string`, which `init` makes; where staging
    /// has no such column, the row is kept aside.
    Choice,
}

/// Files whose rows are brought into staging: a path or URL with `*`, `?`, `[…]` or `**` for any folders. Names that begin
/// with `.` or `_` are passed over.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["path"]))]
pub(super) struct RawFiles {
    /// Which files: a path or URL with a pattern in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"s3://raw/orders/**/*.csv.gz")]
    pub(super) path: Option<String>,
    /// How they are written; by their names, if not said. What ends in `.gz`, `.zst` or `.bz2` is unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FileFormat")]
    pub(super) format: Option<FileFormat>,
    /// CSV: the character that separates fields.
    pub(super) delimiter: String,
    /// CSV: the character that fields are quoted by.
    pub(super) quote: String,
    /// CSV: the character that escapes a quote in a quoted field. Left out, a quote is doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"\\")]
    pub(super) escape: Option<String>,
    /// CSV: whether the first line names the columns. Without, they are staging's, in order.
    pub(super) header: bool,
    /// CSV: the text that means NULL.
    pub(super) null: String,
    /// How text is encoded, such as `latin1` or `windows-1252`; UTF-8, if not said, or UTF-16 by its mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"latin1")]
    pub(super) encoding: Option<String>,
    /// How long a file must have rested before it is brought in, such as `10 minutes`: for writers that do not put
    /// files in place at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"10 minutes")]
    pub(super) settle: Option<String>,
    /// What becomes of a file that came in before, and has other content now.
    pub(super) changed: Changed,
    /// What becomes of a row that cannot be read as one of staging.
    pub(super) on_corrupt: OnCorrupt,
    /// The share of such rows above which nothing is brought in.
    #[schemars(with = "Percent")]
    pub(super) max_corrupt: String,
    /// The table with a row for each file that was found. Left out, it is `ingest_files` beside staging.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) ledger: Option<String>,
    /// The table of rows that could not be read. Left out, it is `ingest_corrupt` beside staging.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) corrupt: Option<String>,
}

impl Default for RawFiles {
    fn default() -> Self {
        Self {
            path: None,
            format: None,
            delimiter: ",".to_owned(),
            quote: "\"".to_owned(),
            escape: None,
            header: true,
            null: String::new(),
            encoding: None,
            settle: None,
            changed: Changed::Reload,
            on_corrupt: OnCorrupt::Quarantine,
            max_corrupt: "100 %".to_owned(),
            ledger: None,
            corrupt: None,
        }
    }
}

/// The names of the tables that lie beside staging unless they are named.
const LEDGER: &str = "ingest_files";
const CORRUPT: &str = "ingest_corrupt";

impl Resolver<'_> {
    /// The files, if it is known where they are.
    pub(super) fn files(&mut self, raw: RawFiles, staging: Option<&Location>) -> Option<Files> {
        let at = |key: &str| format!("source.files.{key}");
        let split = raw.path.and_then(|text| self.take(&at("path"), split(&text, self.outside.folder)));
        let csv = CsvForm {
            delimiter: self.take(&at("delimiter"), character(&raw.delimiter)).unwrap_or(b','),
            quote: self.take(&at("quote"), character(&raw.quote)).unwrap_or(b'"'),
            escape: raw.escape.and_then(|text| self.take(&at("escape"), character(&text))),
            header: raw.header,
            null: raw.null,
        };
        if let Some(label) = &raw.encoding
            && Encoding::for_label(label.as_bytes()).is_none()
        {
            let fault = Fault::new(format!("names no encoding: `{label}`"));
            self.take::<()>(&at("encoding"), Err(fault.hint("write it like `latin1` or `utf-16le`")));
        }
        let settle = raw.settle.and_then(|text| self.take(&at("settle"), value::duration(&text)));
        let max_corrupt = self.take(&at("max_corrupt"), Percent::parse(&raw.max_corrupt));
        let ledger = self.table(&at("ledger"), raw.ledger);
        let corrupt = self.table(&at("corrupt"), raw.corrupt);
        let ((folder, pattern), staging) = (split?, staging?);
        let plain = Files::of(folder, pattern, staging);
        Some(Files {
            format: raw.format,
            csv,
            encoding: raw.encoding,
            settle_seconds: settle.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
            changed: raw.changed,
            on_corrupt: raw.on_corrupt,
            max_corrupt: max_corrupt.unwrap_or(plain.max_corrupt),
            ledger: ledger.unwrap_or(plain.ledger),
            corrupt: corrupt.unwrap_or(plain.corrupt),
            ..plain
        })
    }
}

/// The fixed folder of a path with a pattern, and the pattern below it.
pub(super) fn split(text: &str, folder: &Path) -> Result<(Location, String), Fault> {
    let at = text.find(['*', '?', '[']).unwrap_or(text.len());
    let (fixed, pattern) = match text[..at].rfind('/') {
        Some(slash) => (&text[..slash], &text[slash + 1..]),
        None => ("", text),
    };
    // A folder means all that is in it.
    let pattern = if pattern.is_empty() { "**" } else { pattern };
    if let Err(error) = glob::Pattern::new(pattern) {
        return Err(Fault::new(format!("holds no pattern: {}", error.msg)));
    }
    let fixed = if fixed.is_empty() { "." } else { fixed };
    Ok((location::table(fixed, folder)?, pattern.to_owned()))
}

/// The one character that a text is.
pub(super) fn character(text: &str) -> Result<u8, Fault> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
        _ => Err(Fault::new(format!("must be one ASCII character, or `\\t`, not `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_folder_ends_before_the_first_sign_of_a_pattern() {
        let split =
            |text| split(text, Path::new("/here")).map(|(at, pattern)| (at.as_str().to_owned(), pattern));
        for (text, folder, pattern) in [
            ("raw/orders/*.csv", "/here/raw/orders", "*.csv"),
            ("*.csv", "/here", "*.csv"),
            ("s3://raw/orders/**/*.csv.gz", "s3://raw/orders", "**/*.csv.gz"),
            ("raw/y=*/a?.json", "/here/raw", "y=*/a?.json"),
            ("raw/one.csv", "/here/raw", "one.csv"),
            ("/raw/", "/raw", "**"),
        ] {
            assert_eq!(split(text).unwrap(), (folder.to_owned(), pattern.to_owned()), "{text}");
        }
        assert!(split("raw/***.csv").is_err());
    }

    #[test]
    fn the_format_is_told_by_the_name_without_what_packs_it() {
        assert_eq!(FileFormat::of("a/b.CSV.gz"), Some(FileFormat::Csv));
        assert_eq!(FileFormat::of("a.jsonl"), Some(FileFormat::Ndjson));
        assert_eq!(FileFormat::of("a.b/c"), None);
    }

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!(character("\\t").unwrap(), b'\t');
        assert_eq!(character(";").unwrap(), b';');
        for text in ["", ";;", "\n", "ß"] {
            assert!(character(text).is_err(), "{text}");
        }
    }
}
