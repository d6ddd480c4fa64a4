//! Options for the object store: `${…}` expanded, and secrets kept out of the file.

use std::fs;
use std::path::Path;

use super::origin::Origin;
use super::secret::Secret;
use crate::error::{hide, hide_password, masked};
use crate::notation::Fault;

/// Parts of the names of options that hold a secret.
const SECRET_PARTS: [&str; 12] = [
    "secret",
    "password",
    "passphrase",
    "token",
    "account_key",
    "access_key",
    "master_key",
    "customer_key",
    "private_key",
    "encryption_key",
    "mask_key",
    "credential",
];
/// Options that name where a secret is, or that something is allowed, whatever else their name
/// holds.
const NO_SECRET_ENDINGS: [&str; 7] = ["_key_id", "_file", "_path", "_url", "_uri", "_endpoint", "_provider"];

/// Where the values of `${…}` come from.
pub(super) struct Outside<'a> {
    /// The environment's variables.
    pub(super) env: &'a [(String, String)],
    /// The folder of the pipeline file, where relative paths start.
    pub(super) folder: &'a Path,
}

/// The value of the option `name`. A fault never holds any part of the value.
pub(super) fn resolve(
    name: &str,
    text: &str,
    origin: &Origin,
    outside: &Outside<'_>,
) -> Result<Secret, Fault> {
    // A variable is outside of the file already; a flag would show in the list of processes.
    let literal_allowed = matches!(origin, Origin::Env(_));
    if is_secret(name) && !text.contains("${") && !literal_allowed {
        let fault = Fault::new("is a secret, which must not be written here".to_owned());
        let example = format!("${{env:{}}}", name.to_uppercase());
        return Err(fault.hint(format!("write `{example}` or `${{file:PATH}}`")));
    }
    let value = expand(text, outside)?;
    if is_shown_to_nobody(name) {
        hide(&value);
    }
    hide_password(&value);
    Ok(Secret::new(value))
}

/// The value of an option as a person may see it: all of it, but for secrets, key ids, and passwords in URLs.
pub(super) fn shown(name: &str, value: &Secret) -> String {
    if is_shown_to_nobody(name) { value.to_string() } else { masked(value.expose()) }
}

/// Hides the secrets that the store takes from the environment by itself.
pub(super) fn hide_env(env: &[(String, String)]) {
    for (name, value) in env {
        let name = name.to_lowercase();
        if name.starts_with("aws_") && is_shown_to_nobody(&name) {
            hide(value);
        }
    }
}

/// A key id is no secret, and names a person or a machine all the same.
fn is_shown_to_nobody(name: &str) -> bool {
    let lower = name.to_lowercase();
    is_secret(name) || (lower.contains("access_key_id") || lower.ends_with("_key_id"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase().replace(['-', '.'], "_");
    let no_secret =
        NO_SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending)) || name.contains("access_key_id");
    // `sas` is a word of its own only between separators.
    let secret =
        SECRET_PARTS.iter().any(|part| name.contains(part)) || name.split('_').any(|word| word == "sas");
    secret && !no_secret
}

fn expand(text: &str, outside: &Outside<'_>) -> Result<String, Fault> {
    substitute(text, "${", |reference| look_up(reference, outside))
}

/// The text with what stands for each reference, which is what follows `begin` up to the next brace.
pub(super) fn substitute(
    text: &str,
    begin: &str,
    look_up: impl Fn(&str) -> Result<String, Fault>,
) -> Result<String, Fault> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        let Some((reference, after)) = after.split_once('}') else {
            return Err(Fault::new(format!("has a `{begin}` without its `}}`")));
        };
        expanded.push_str(before);
        expanded.push_str(&look_up(reference)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn look_up(reference: &str, outside: &Outside<'_>) -> Result<String, Fault> {
    match reference.split_once(':') {
        Some(("env", name)) => {
            let value = outside.env.iter().find(|(known, _)| known == name);
            match value.map(|(_, value)| value.as_str()) {
                None => Err(Fault::new(format!("needs the environment variable {name}, which is not set"))),
                Some("") => Err(Fault::new(format!("needs the environment variable {name}, which is empty"))),
                Some(value) => Ok(value.to_owned()),
            }
        }
        Some(("file", path)) => {
            let path = outside.folder.join(path);
            // Editors end a file with a newline; no secret ends with one.
            match fs::read_to_string(&path) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err(Fault::new(format!("needs the file {}: {error}", path.display()))),
            }
        }
        // The reference is not shown: this may be a secret with a brace in it.
        _ => {
            let fault = Fault::new("has a `${…}` that is neither `${env:NAME}` nor `${file:PATH}`");
            Err(fault.hint("write `${env:NAME}` or `${file:PATH}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_in(env: &[(&str, &str)], folder: &Path, name: &str, text: &str) -> Result<Secret, Fault> {
        let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let outside = Outside { env: &env, folder };
        resolve(name, text, &Origin::Default, &outside)
    }

    #[test]
    fn a_variable_and_a_file_are_expanded_within_a_value() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "from-file\n").unwrap();
        let env = [("A", "from-env")];
        let secret = resolve_in(&env, folder.path(), "aws_token", "x${env:A}-${file:token}y").unwrap();
        assert_eq!(secret.expose(), "xfrom-env-from-filey");
    }

    #[test]
    fn a_missing_variable_an_empty_one_and_an_unreadable_file_are_named() {
        let folder = Path::new("/nowhere");
        let message = |text| resolve_in(&[("EMPTY", "")], folder, "aws_token", text).unwrap_err().message;
        assert_eq!(message("${env:GONE}"), "needs the environment variable GONE, which is not set");
        assert_eq!(message("${env:EMPTY}"), "needs the environment variable EMPTY, which is empty");
        assert!(message("${file:gone}").starts_with("needs the file /nowhere/gone: "));
    }

    #[test]
    fn a_malformed_reference_is_refused_without_showing_it() {
        for text in ["${env:A", "${hunter2}", "${vault:hunter2}"] {
            let fault = resolve_in(&[], Path::new("/"), "aws_token", text).unwrap_err();
            assert!(!fault.message.contains("hunter2"), "{}", fault.message);
        }
    }

    #[test]
    fn a_literal_under_a_name_that_means_a_secret_is_refused_and_not_shown() {
        for name in [
            "aws_secret_access_key",
            "AWS_SECRET_ACCESS_KEY",
            "secret",
            "password",
            "session_token",
            "account_key",
            "azure_storage_access_key",
            "access_key",
            "sas",
            "sas_key",
            "google-private-key",
        ] {
            let fault = resolve_in(&[], Path::new("/"), name, "hunter2").unwrap_err();
            let shown = format!("{fault:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(fault.hint.unwrap().contains("${env:"), "{name}");
        }
    }

    #[test]
    fn a_literal_under_any_other_name_is_taken() {
        for name in [
            "aws_region",
            "aws_access_key_id",
            "access_key_id",
            "disaster_bucket",
            "web_identity_token_file",
            "allow_http",
        ] {
            assert_eq!(resolve_in(&[], Path::new("/"), name, "plain").unwrap().expose(), "plain", "{name}");
        }
    }

    #[test]
    fn a_literal_secret_is_taken_from_a_variable_but_not_from_a_flag() {
        let outside = Outside { env: &[], folder: Path::new("/") };
        let variable = Origin::Env("HIGHWATER__STORAGE__AWS_TOKEN".to_owned());
        assert_eq!(resolve("aws_token", "t", &variable, &outside).unwrap().expose(), "t");
        let flag = Origin::Flag("--storage".to_owned());
        assert!(resolve("aws_token", "t", &flag, &outside).is_err());
    }
}
