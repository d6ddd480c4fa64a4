//! What a failed operation on a table, or a failed query, means for whoever has to mend it.
//!
//! The one place that tells failures apart. An error is told by its [`Cause`], the innermost thing that is known to
//! have gone wrong, and by the [`Phase`] in which it did. Libraries wrap errors in each other, and some keep no more
//! of an inner error than its text: [`cause`] walks down the types as far as they go, and reads the text last. What
//! it does not know is a bug of highwater: to call it passing would have a scheduler try again for ever.

mod answer;

use std::error::Error as StdError;

use deltalake::DeltaTableError;
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::error::DataFusionError;
use deltalake::kernel::transaction::TransactionError;
use deltalake::parquet::errors::ParquetError;

pub(crate) use self::answer::{NoCredentials, Unsafe};

use self::answer::Answer;
use crate::error::Error;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Opening a table, or reading its log.
    Log,
    /// Reading or writing data files, or writing a log entry.
    Data,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An object is not there.
    Missing,
    /// An object may not be read or written, or nobody knows as whom.
    Denied,
    /// Storage does not do what it is asked, and never will: a bad request, or one that it does not know.
    Refused,
    /// The disk is full.
    Full,
    /// A file or folder would have a longer name than the file system allows.
    LongName,
    /// Storage did not answer, or not in time: it may pass.
    Away,
    /// Memory or disk for intermediate results ran out.
    Exhausted,
    /// A data file is no Parquet file, or its pages cannot be read.
    DamagedFile,
    /// The log has a gap, or an entry or a checkpoint that cannot be read.
    DamagedLog,
    /// The pointer to the last checkpoint names one that is not there.
    StalePointer,
    /// The table has a feature that the table library does not know.
    Unsupported,
    /// What is asked for does not fit the table: columns, types, its location.
    Unfit,
    /// A row breaks a constraint of the table.
    Constraint,
    /// What was to be computed of a value cannot be, such as a division by zero.
    Value,
    /// None of these.
    Unknown,
}

/// Words by which a failure is told where its type is lost: some layers keep no more of an error than its text, and
/// the types of the Delta kernel are not public. The first line that fits counts.
///
/// None of them is looked for in what a query says of rows: a text that was to be a number may hold any words.
const WORDS: [(&str, Cause); 53] = [
    ("Resources exhausted", Cause::Exhausted),
    ("failed validation check", Cause::Constraint),
    ("No space left on device", Cause::Full),
    ("File name too long", Cause::LongName),
    ("Permission denied (os error", Cause::Denied),
    ("403 Forbidden", Cause::Denied),
    ("401 Unauthorized", Cause::Denied),
    ("credential provider", Cause::Denied),
    ("no credentials for S3", Cause::Denied),
    ("credentials could not be fetched", Cause::Away),
    ("the store has answered nothing", Cause::Away),
    ("provided credentials", Cause::Denied),
    ("Unauthenticated", Cause::Denied),
    ("PermissionDenied", Cause::Denied),
    ("Max catalog version is required", Cause::Unsupported),
    ("is not supported", Cause::Unsupported),
    ("Unsupported table features required", Cause::Unsupported),
    ("Unsupported: ", Cause::Unsupported),
    ("Had a _last_checkpoint hint but didn't find any checkpoints", Cause::StalePointer),
    ("Invalid Checkpoint", Cause::DamagedLog),
    ("Invalid protocol action", Cause::DamagedLog),
    ("Invalid table version", Cause::DamagedLog),
    ("Error parsing property", Cause::Unfit),
    ("contained empty path segment", Cause::Unfit),
    ("Error parsing Path", Cause::Unfit),
    ("Expected contiguous commit files, but found gap", Cause::DamagedLog),
    ("not contiguous", Cause::DamagedLog),
    ("No table metadata or protocol", Cause::DamagedLog),
    ("No table metadata found", Cause::DamagedLog),
    ("No protocol found", Cause::DamagedLog),
    ("Json error", Cause::DamagedLog),
    ("unmasked nulls", Cause::DamagedLog),
    // Asking for a footer beyond the end of a file: it was cut off.
    ("Requested range was invalid", Cause::DamagedFile),
    ("out of range", Cause::DamagedFile),
    ("file size of", Cause::DamagedFile),
    ("Invalid Parquet", Cause::DamagedFile),
    ("No such file", Cause::Missing),
    ("Object at location", Cause::Missing),
    ("Received redirect without LOCATION", Cause::Refused),
    ("Read-only file system", Cause::Refused),
    ("Is a directory (os error", Cause::Refused),
    ("Not a directory (os error", Cause::Refused),
    ("NoSuchBucket", Cause::Refused),
    ("builder error", Cause::Refused),
    // What a writer of data files keeps of storage's error.
    ("Generic S3 error", Cause::Away),
    ("Generic GCS error", Cause::Away),
    ("Generic MicrosoftAzure error", Cause::Away),
    ("HTTP error: ", Cause::Away),
    ("Object Store error", Cause::Away),
    ("Error interacting with object store", Cause::Away),
    ("Parquet error", Cause::DamagedFile),
    ("Parquet argument error", Cause::DamagedFile),
    ("corrupt", Cause::DamagedFile),
];

/// Tells what went wrong.
pub(crate) fn cause(error: &(dyn StdError + 'static)) -> Cause {
    let (mut parquet, mut of_rows, mut computed) = (false, true, false);
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = by_type(error) {
            return found;
        }
        computed |= is_computed(error);
        of_rows &= is_computed(error) || may_wrap_computed(error);
        parquet |= error.downcast_ref::<ParquetError>().is_some()
            || matches!(error.downcast_ref::<ArrowError>(), Some(ArrowError::ParquetError(_)));
        next = inner(error);
    }
    if of_rows {
        return if computed { Cause::Value } else { Cause::Unknown };
    }
    let text = error.to_string();
    if let Some(found) = by_answer(&text) {
        return found;
    }
    match WORDS.iter().find(|(words, _)| text.contains(words)) {
        Some((_, found)) => *found,
        // A decoder's own error, inside of a Parquet reader's.
        None if parquet => Cause::DamagedFile,
        None => Cause::Unknown,
    }
}

/// Whether an error is one that a query makes of the values it meets.
fn is_computed(error: &(dyn StdError + 'static)) -> bool {
    use ArrowError::{
        ArithmeticOverflow, CastError, ComputeError, DivideByZero, InvalidArgumentError, ParseError,
    };

    matches!(
        error.downcast_ref::<ArrowError>(),
        Some(
            CastError(_)
                | ParseError(_)
                | ComputeError(_)
                | DivideByZero
                | ArithmeticOverflow(_)
                | InvalidArgumentError(_)
        )
    )
}

/// Whether an error may be no more than a wrapper of such.
fn may_wrap_computed(error: &(dyn StdError + 'static)) -> bool {
    match error.downcast_ref::<DeltaTableError>() {
        Some(error) => matches!(error, DeltaTableError::Arrow { .. } | DeltaTableError::GenericError { .. }),
        None => error.downcast_ref::<DataFusionError>().is_some(),
    }
}

/// Whether a server answered that it did not do what it was asked: whatever the reason, and may it pass, there is no doubt.
pub(crate) fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    status_in(&chain(error)).is_some_and(|status| (400..500).contains(&status) && status != 408)
}

/// What a server's answer says, where the text of an error has it: by its code, else by its HTTP status.
fn by_answer(text: &str) -> Option<Cause> {
    by_code(text).or_else(|| by_status(text))
}

/// What the code of a server's answer says.
fn by_code(text: &str) -> Option<Cause> {
    Answer::within(text).and_then(|answer| answer.cause())
}

/// The HTTP status in the text of an error.
fn status_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// What an HTTP status says, where the text of an error has one.
fn by_status(text: &str) -> Option<Cause> {
    match status_in(text)? {
        401 | 403 => Some(Cause::Denied),
        408 | 409 | 425 | 429 => Some(Cause::Away),
        300..=499 | 501 | 505 => Some(Cause::Refused),
        500..=599 => Some(Cause::Away),
        _ => None,
    }
}

/// What an error says by its type alone; `None` where that lies deeper.
fn by_type(error: &(dyn StdError + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<object_store::Error>() {
        return Some(of_store(error));
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return of_io(error);
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return matches!(error, DataFusionError::ResourcesExhausted(_)).then_some(Cause::Exhausted);
    }
    match error.downcast_ref::<DeltaTableError>()? {
        DeltaTableError::InvalidJsonLog { .. }
        | DeltaTableError::InvalidStatsJson { .. }
        | DeltaTableError::MetadataError(_) => Some(Cause::DamagedLog),
        DeltaTableError::NotATable(_) => Some(Cause::Missing),
        DeltaTableError::MissingFeature { .. } | DeltaTableError::UnsupportedColumnMapping { .. } => {
            Some(Cause::Unsupported)
        }
        DeltaTableError::InvalidTableLocation(_) | DeltaTableError::SchemaMismatch { .. } => {
            Some(Cause::Unfit)
        }
        DeltaTableError::InvalidData { message } if message.contains("failed validation check") => {
            Some(Cause::Constraint)
        }
        DeltaTableError::InvalidData { .. } => Some(Cause::Unfit),
        DeltaTableError::Transaction { source } => match source {
            TransactionError::DeltaTableAppendOnly => Some(Cause::Unfit),
            TransactionError::UnsupportedTableFeatures(_) | TransactionError::TableFeaturesRequired(_) => {
                Some(Cause::Unsupported)
            }
            _ => None,
        },
        _ => None,
    }
}

fn of_store(error: &object_store::Error) -> Cause {
    if let Some((found, _)) = answer::of_ours(error) {
        return found;
    }
    match error {
        // A bucket or an upload that is missing is no missing object.
        object_store::Error::NotFound { .. } => by_code(&chain(error)).unwrap_or(Cause::Missing),
        // A token that has run out is refused like any other, and may be renewed.
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            by_code(&chain(error)).unwrap_or(Cause::Denied)
        }
        object_store::Error::NotImplemented { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::InvalidPath { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => Cause::Refused,
        other => {
            let text = chain(other);
            if let Some(found) = by_answer(&text) {
                return found;
            }
            let known = WORDS.iter().find(|(words, found)| {
                text.contains(words)
                    && matches!(
                        found,
                        Cause::Denied | Cause::Refused | Cause::Full | Cause::LongName | Cause::DamagedFile
                    )
            });
            known.map_or(Cause::Away, |(_, found)| *found)
        }
    }
}

/// `None` where an I/O error is no more than a wrapper around another.
fn of_io(error: &std::io::Error) -> Option<Cause> {
    use std::io::ErrorKind;

    match error.kind() {
        ErrorKind::NotFound => Some(Cause::Missing),
        ErrorKind::PermissionDenied => Some(Cause::Denied),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Cause::Full),
        ErrorKind::InvalidFilename => Some(Cause::LongName),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            Some(Cause::Refused)
        }
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            Some(Cause::DamagedFile)
        }
        ErrorKind::Other => error.get_ref().is_none().then_some(Cause::Away),
        _ => Some(Cause::Away),
    }
}

/// The error's text, and those of all that lie under it.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        next = error.source();
    }
    text
}

/// The error inside, also where a wrapper does not give it as its source.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    // The kernel's errors keep no source.
    match error.downcast_ref::<delta_kernel::Error>() {
        Some(delta_kernel::Error::ObjectStore(inner)) => return Some(inner),
        Some(delta_kernel::Error::IOError(inner)) => return Some(inner),
        Some(delta_kernel::Error::Backtraced { source, .. }) => return Some(source.as_ref()),
        _ => {}
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        match error {
            DataFusionError::External(inner) => return Some(inner.as_ref()),
            DataFusionError::ObjectStore(inner) => return Some(inner.as_ref()),
            DataFusionError::ParquetError(inner) => return Some(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => return Some(inner.as_ref()),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                return Some(inner.as_ref());
            }
            DataFusionError::Shared(inner) => return Some(inner.as_ref()),
            _ => {}
        }
    }
    if let Some(ParquetError::External(inner)) = error.downcast_ref::<ParquetError>() {
        return Some(inner.as_ref());
    }
    if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref::<ArrowError>() {
        return Some(inner.as_ref());
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return error.get_ref().map(|inner| inner as &(dyn StdError + 'static));
    }
    error.source()
}

/// Says what a person can do about a failed operation. `what` is what could not be done.
pub(crate) fn of(phase: Phase, what: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    let found = cause(&error);
    explained(said(phase, found, what), error)
}

/// The error with the one underneath, and with what is known better than by its cause. Of a store's error nothing is told
/// but itself: what libraries wrap around it says nothing more.
fn explained(said: Error, error: impl StdError + Send + Sync + 'static) -> Error {
    let mut stores = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = next {
        if error.downcast_ref::<object_store::Error>().is_some() {
            stores = Some(error);
        }
        next = inner(error);
    }
    let Some(stores) = stores else { return said.because(error) };
    let said = match answer::hint(stores) {
        Some(hint) => said.hint(hint),
        None => said,
    };
    said.because(OfStore(chain(stores)))
}

/// What a store's error says, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OfStore(String);

/// Says what a person can do about a failed query.
pub(crate) fn of_query(error: DataFusionError) -> Error {
    let found = cause(&error);
    let what = match found {
        Cause::Missing => "a data file that the table's log names is missing",
        Cause::Denied => "a data file may not be read",
        Cause::Away | Cause::Refused => "storage failed while reading",
        Cause::DamagedFile | Cause::DamagedLog => "a data file cannot be read: it is damaged",
        Cause::Exhausted => "the batch does not fit the memory or disk that it may use",
        _ => "a query failed",
    };
    explained(said(Phase::Data, found, what), error)
}

/// The error for a cause, without the error underneath.
pub(crate) fn said(phase: Phase, cause: Cause, what: &str) -> Error {
    match (cause, phase) {
        (Cause::Denied, _) => {
            Error::usage(what).hint("check the permissions, the credentials and the storage options")
        }
        (Cause::Refused, _) => Error::usage(what)
            .hint("storage refuses this for good: check the path, the region and the storage options"),
        (Cause::Full, _) => Error::retry(what).hint("the disk is full: free some space, and run it again"),
        (Cause::LongName, _) => Error::usage(what).hint(
            "a folder's name would be longer than the file system allows: shorten the value of the partition column \
             in staging, or keep such rows out with a check",
        ),
        (Cause::Away, _) => Error::retry(what),
        (Cause::Exhausted, _) => {
            Error::usage(what).hint("raise `memory` in the pipeline file, or free disk space for spilling")
        }
        (Cause::Missing, Phase::Log) => Error::person(what)
            .hint("a log entry or a checkpoint is gone; bring the table's log back from a copy"),
        (Cause::Missing, Phase::Data) => Error::person(what)
            .hint("VACUUM or another hand took it; restore the table to a version whose files are there"),
        (Cause::StalePointer, _) => Error::person(what).hint(
            "`_delta_log/_last_checkpoint` names a checkpoint that is gone; if the log's entries are all there, \
             delete that file: it only says where to begin",
        ),
        (Cause::DamagedFile, Phase::Log) | (Cause::DamagedLog, _) => {
            Error::person(what).hint("the table's log is damaged; bring it back from a copy")
        }
        (Cause::DamagedFile, Phase::Data) => Error::person(what)
            .hint("bring the file back from a copy, or restore the table to a version without it"),
        (Cause::Unsupported, _) => Error::usage(what)
            .hint("the table has a feature that highwater does not know: drop it, or copy the table without it"),
        (Cause::Unfit, _) => Error::usage(what).hint("compare the table with its DDL: `highwater init` names the differences"),
        (Cause::Constraint, _) => Error::person(what)
            .hint("mend the rows in staging, or drop the constraint; nothing was written"),
        (Cause::Value | Cause::Unknown, _) => Error::bug(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    fn not_found() -> object_store::Error {
        object_store::Error::NotFound { path: "a".to_owned(), source: "gone".into() }
    }

    #[test]
    fn cause_is_found_under_any_wrapper() {
        let wrapped = DataFusionError::Context(
            "while reading".to_owned(),
            Box::new(DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(not_found()))))),
        );
        assert_eq!(cause(&wrapped), Cause::Missing);
        let delta = DeltaTableError::GenericError { source: Box::new(wrapped) };
        assert_eq!(cause(&delta), Cause::Missing);
        let io = std::io::Error::other(not_found());
        assert_eq!(cause(&io), Cause::Missing);
    }

    #[test]
    fn storage_that_refuses_is_told_from_storage_that_is_away() {
        assert_eq!(
            cause(&generic("Server returned non-2xx status code: 400 Bad Request: x")),
            Cause::Refused
        );
        assert_eq!(
            cause(&generic("Server returned non-2xx status code: 501 Not Implemented")),
            Cause::Refused
        );
        assert_eq!(cause(&generic("Server returned non-2xx status code: 503 Slow Down")), Cause::Away);
        assert_eq!(cause(&generic("operation timed out")), Cause::Away);
        assert_eq!(cause(&generic("x/city=y: File name too long (os error 36)")), Cause::LongName);
        assert_eq!(cause(&generic("No space left on device (os error 28)")), Cause::Full);
    }

    #[test]
    fn status_that_never_passes_is_told_from_one_that_may() {
        let cause_of =
            |status: &str| cause(&generic(&format!("Server returned non-2xx status code: {status}: x")));
        for status in
            ["301 Moved Permanently", "404 Not Found", "405 Method Not Allowed", "412 Precondition Failed"]
        {
            assert_eq!(cause_of(status), Cause::Refused, "{status}");
        }
        assert_eq!(cause_of("403 Forbidden"), Cause::Denied);
        for status in
            ["408 Request Timeout", "409 Conflict", "429 Too Many Requests", "500 Internal Server Error"]
        {
            assert_eq!(cause_of(status), Cause::Away, "{status}");
        }
    }

    #[test]
    fn storage_that_is_away_while_a_data_file_is_written_may_pass() {
        // All that the writer keeps is the text.
        for why in [
            "Generic Counted error: Server returned non-2xx status code: 503 Slow Down",
            "Generic S3 error: Error performing PUT in 1s, after 10 retries: HTTP error: error sending request",
        ] {
            let error = DeltaTableError::Generic(format!("Parquet error: External: {why}"));
            assert_eq!(cause(&error), Cause::Away, "{why}");
        }
    }

    #[test]
    fn local_path_that_can_never_be_written_is_refused() {
        for (number, wanted) in
            [(20, Cause::Refused), (21, Cause::Refused), (28, Cause::Full), (30, Cause::Refused)]
        {
            let error = || std::io::Error::from_raw_os_error(number);
            assert_eq!(cause(&error()), wanted, "{number}");
            assert_eq!(cause(&generic(&error().to_string())), wanted, "{number}");
        }
    }

    #[test]
    fn words_of_a_value_are_not_taken_for_those_of_storage() {
        let values = ["corrupt", "Object Store error", "No such file", "out of range", "status code: 404"];
        for value in values {
            let text = format!("Cannot cast string '{value}' to value of Int64 type");
            let cast = DataFusionError::ArrowError(Box::new(ArrowError::CastError(text.clone())), None);
            assert_eq!(cause(&cast), Cause::Value, "{value}");
            assert_eq!(cause(&DataFusionError::Execution(text)), Cause::Unknown, "{value}");
        }
    }

    #[test]
    fn damage_is_told_by_phase() {
        let footer = || ParquetError::General("Invalid Parquet file. Corrupt footer".to_owned());
        let delta = || DeltaTableError::GenericError { source: Box::new(footer()) };
        let kinds = [Phase::Log, Phase::Data].map(|phase| {
            let error = of(phase, "x", delta());
            (error.kind(), error.hint_text().unwrap().contains("log is damaged"))
        });
        assert_eq!(kinds, [(Kind::Person, true), (Kind::Person, false)]);
        // A decoder's error, whose type nobody knows.
        let page = ParquetError::External("snappy: offset 3452608175".into());
        let query = of_query(DataFusionError::ParquetError(Box::new(page)));
        assert_eq!(query.kind(), Kind::Person);
    }

    #[test]
    fn what_nobody_knows_is_a_bug_and_never_tried_again() {
        let error = of_query(DataFusionError::Plan("odd".to_owned()));
        assert_eq!(error.kind(), Kind::Bug);
        let error = of(Phase::Log, "x", DeltaTableError::Generic("odd".to_owned()));
        assert_eq!(error.kind(), Kind::Bug);
    }
}
