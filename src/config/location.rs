//! Paths and URLs of a pipeline file, made absolute.

use std::path::{Component, Path, PathBuf};

use super::pipeline::Location;
use crate::error::user_and_password;
use crate::notation::Fault;

/// The place of a table; a path is relative to `folder`, which is absolute.
pub(super) fn table(text: &str, folder: &Path) -> Result<Location, Fault> {
    let location = match text.split_once("://") {
        Some((scheme, rest)) => url(text, scheme, rest)?,
        None => utf8(&absolute(text, folder)?)?,
    };
    if location.rsplit('/').next().is_none_or(str::is_empty) {
        return Err(Fault::new(format!("must name a table's folder, not `{text}`")));
    }
    let location = Location::new(location);
    match trouble(&location) {
        None => Ok(location),
        Some(trouble) => Err(Fault::new(trouble).hint("rename the folder")),
    }
}

/// Bytes that a folder's name has at most, on nearly every file system.
pub const LONGEST_NAME: usize = 255;

/// Why no table can lie at a location: the table library would look for it elsewhere.
pub(super) fn trouble(location: &Location) -> Option<String> {
    let Some(folder) = folder(location) else {
        return Some(format!("must be UTF-8 once it is decoded, not `{}`", location.as_str().escape_debug()));
    };
    let local = !location.is_url() || location.as_str().starts_with("file:");
    let mut names = folder.split('/');
    names.find_map(|name| {
        let shown = name.escape_debug();
        if name.contains(|c: char| c.is_ascii_control() || c == '\\') {
            Some(format!("must hold no backslash and no control character, as `{shown}` does"))
        } else if name.char_indices().any(|(at, _)| decoded(name.as_bytes(), at).is_some()) {
            Some(format!(
                "must not hold `%` and two hexadecimal digits, as `{shown}` does: the table library would take them \
                 for an encoded character"
            ))
        } else if local && name.len() > LONGEST_NAME {
            Some(format!("must have names of at most {LONGEST_NAME} bytes, not {}", name.len()))
        } else {
            None
        }
    })
}

/// A location's folder as it is called where it lies: what a URL encodes is decoded, a path is as it is.
pub(super) fn folder(location: &Location) -> Option<String> {
    let text = location.as_str();
    let Some((scheme, rest)) = text.split_once("://") else { return Some(text.to_owned()) };
    let mut bytes = Vec::with_capacity(rest.len());
    let mut at = 0;
    while let Some(byte) = rest.as_bytes().get(at) {
        let found = decoded(rest.as_bytes(), at);
        bytes.push(found.unwrap_or(*byte));
        at += if found.is_some() { 3 } else { 1 };
    }
    let rest = String::from_utf8(bytes).ok()?;
    let local = rest.strip_prefix("localhost").unwrap_or(&rest);
    Some(if scheme == "file" { local.to_owned() } else { format!("{scheme}://{rest}") })
}

/// The byte that `%` and two hexadecimal digits stand for, if they stand there.
fn decoded(text: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = *text.get(at..at + 3)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The place of a file, which is always local; relative to `folder`, which is absolute.
pub(super) fn file(text: &str, folder: &Path) -> Result<PathBuf, Fault> {
    if text.contains("://") {
        return Err(Fault::new(format!("must be the path of a file, not the URL `{text}`")));
    }
    absolute(text, folder)
}

fn url(text: &str, scheme: &str, rest: &str) -> Result<String, Fault> {
    let valid_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !valid_scheme {
        return Err(Fault::new(format!("must be a path or a URL, not `{text}`")));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // `abfss://container@account` is an address; a user with a password is not. Neither part is
    // shown, here or below.
    if user_and_password(rest).is_some() || rest.contains(['?', '#']) {
        let fault = Fault::new("must not hold credentials or parameters in its URL");
        return Err(fault.hint("set them under `storage`"));
    }
    if scheme == "file" && !["", "localhost"].contains(&authority) {
        let fault = Fault::new(format!("must name no machine: `{authority}` in `{text}` would be one"));
        return Err(fault.hint("the URL of a local folder has three slashes, as in file:///lake/fact_orders"));
    }
    let path = path.trim_matches('/');
    if path.is_empty() {
        let fault = Fault::new(format!("must name a table's folder, not only `{text}`"));
        return Err(fault.hint("a table has a folder of its own, with others beside it"));
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Fault::new(format!("must have a name between any two slashes, not `{text}`")));
    }
    Ok(format!("{scheme}://{authority}/{path}"))
}

/// `text` from `folder` on, without `.` and `..`. A symlink before a `..` within `text` is not
/// followed.
fn absolute(text: &str, folder: &Path) -> Result<PathBuf, Fault> {
    if text.is_empty() {
        return Err(Fault::new("must not be empty"));
    }
    let mut path = PathBuf::new();
    for component in folder.join(text).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    Ok(path)
}

fn utf8(path: &Path) -> Result<String, Fault> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Fault::new(format!("must have a UTF-8 path, not {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> String {
        table(text, Path::new("/etc/pipelines")).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_relative_path_starts_at_the_files_folder() {
        assert_eq!(resolved("fact_orders"), "/etc/pipelines/fact_orders");
        assert_eq!(resolved("./a//b/"), "/etc/pipelines/a/b");
        assert_eq!(resolved("../lake/fact_orders"), "/etc/lake/fact_orders");
    }

    #[test]
    fn an_absolute_path_and_a_url_stay_but_for_the_last_slash() {
        assert_eq!(resolved("/lake/fact_orders/"), "/lake/fact_orders");
        assert_eq!(resolved("s3://lake/gold/fact_orders/"), "s3://lake/gold/fact_orders");
        assert_eq!(resolved("file:///lake/fact_orders"), "file:///lake/fact_orders");
        assert_eq!(resolved("abfss://box@account.host/fact"), "abfss://box@account.host/fact");
    }

    #[test]
    fn what_names_no_folder_is_refused() {
        for text in
            ["", "/", "..//..", "s3://lake", "s3://lake/", "s3://lake/a/../b", "s3://lake/a//b", "://x/y"]
        {
            assert!(table(text, Path::new("/etc")).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_the_table_library_reads_otherwise_are_refused() {
        let refused = |text: &str| table(text, Path::new("/etc")).unwrap_err().message;
        for text in ["a\\b", "a\tb", "a\nb", "a\u{7f}", "x\t/fact", "s3://lake/a%09b", "s3://lake/a%5Cb"] {
            assert!(refused(text).contains("backslash"), "{text:?}");
            assert!(!refused(text).contains(char::is_control), "{text:?}");
        }
        for text in ["a%20b", "%2F", "x%2f/fact", "s3://lake/a%2520b"] {
            assert!(refused(text).contains("hexadecimal"), "{text:?}");
        }
        assert!(refused("s3://lake/a%FF").contains("UTF-8"));
        assert!(refused("file://lake/fact").contains("machine"));
        assert!(refused(&"x".repeat(256)).contains("255"));
        assert!(table(&format!("s3://lake/{}", "x".repeat(256)), Path::new("/")).is_ok());
    }

    #[test]
    fn other_names_are_taken_as_they_are() {
        for name in ["a b", "a%", "100%x", "a[b]|^#?{}*", "Zürich", "日本", "..a", "-a", "a:b", "~"] {
            assert_eq!(resolved(name), format!("/etc/pipelines/{name}"));
        }
        assert_eq!(resolved("s3://lake/a%20b"), "s3://lake/a%20b");
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for text in ["s3://me:hunter2@lake/fact", "https://account/fact?sig=hunter2"] {
            let fault = table(text, Path::new("/etc")).unwrap_err();
            assert!(!fault.message.contains("hunter2"), "{}", fault.message);
        }
    }

    #[test]
    fn a_sibling_lies_in_the_same_folder_or_under_the_same_prefix() {
        let folder = Path::new("/etc");
        let sibling = |text| table(text, folder).unwrap().sibling("loads_audit").as_str().to_owned();
        assert_eq!(sibling("/lake/fact_orders"), "/lake/loads_audit");
        assert_eq!(sibling("s3://lake/fact_orders"), "s3://lake/loads_audit");
    }

    #[test]
    fn locations_overlap_only_if_equal_or_one_is_a_folder_of_the_other() {
        let at = |text| table(text, Path::new("/")).unwrap();
        assert!(at("/lake/a").overlaps(&at("/lake/a/")));
        assert!(at("/lake/a/b").overlaps(&at("/lake/a")));
        assert!(!at("/lake/ab").overlaps(&at("/lake/a")));
        assert!(at("file:///lake/a%62").overlaps(&at("/lake/ab")));
        assert!(at("s3://lake/a%20b").overlaps(&at("s3://lake/a b")));
    }
}
