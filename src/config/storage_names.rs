//! The options of the object store: their names, what values they take, and what they mean.
//!
//! The one list of them: [`check`] holds a pipeline file against it, and `docs/object-storage.md` is made from it.

use std::time::Duration;

use self::Kind::{Count, Flag, Text, Time, Word};

use crate::notation::{Fault, near};

/// What kind of value an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Time,
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// An option.
pub(crate) struct StorageOption {
    /// Its name. `aws_` before it may be left out, or be there where it is not.
    pub(crate) name: &'static str,
    /// Other names for it, of AWS's tools, delta-rs and `object_store`.
    aliases: &'static [&'static str],
    kind: Kind,
    /// What stands for it where it is left out.
    default: &'static str,
    /// What it does, in a sentence.
    meaning: &'static str,
}

const fn option(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> StorageOption {
    StorageOption { name, aliases, kind, default, meaning }
}

/// Every option that there is.
#[rustfmt::skip]
pub(crate) const OPTIONS: [StorageOption; 46] = [
    option("aws_region", &["default_region"], Text, "the environment's, the profile's, `us-east-1`", "The bucket's region."),
    option("aws_endpoint_url", &["endpoint", "endpoint_url_s3"], Text, "the environment's, the profile's, AWS", "Where the store answers, such as `http://localhost:9000`; none for AWS itself."),
    option("allow_http", &[], Flag, "false", "Whether an endpoint without encryption may be used."),
    option("virtual_hosted_style_request", &[], Flag, "false", "Whether the bucket is part of the host's name, not of the path."),
    option("aws_s3_addressing_style", &[], Word(&["path", "virtual"]), "path", "The same, in delta-rs's words."),
    option("s3_express", &[], Flag, "false", "Whether the bucket is a directory bucket (S3 Express One Zone)."),
    option("request_payer", &[], Flag, "false", "Whether the reader of a bucket pays."),
    option("aws_profile", &[], Text, "`AWS_PROFILE`, `default`", "The profile of AWS's config files that credentials, region and endpoint come from."),
    option("aws_access_key_id", &[], Text, "the credentials of the chain", "With `aws_secret_access_key`: keys to use instead of the chain."),
    option("aws_secret_access_key", &[], Text, "", "The secret of that key."),
    option("aws_session_token", &["token"], Text, "", "The session token of temporary keys."),
    option("aws_role_arn", &["iam_role_arn", "s3_assume_role_arn"], Text, "", "A role to assume: with the credentials that were found, or with `aws_web_identity_token_file`."),
    option("aws_role_session_name", &["iam_role_session_name", "s3_role_session_name"], Text, "highwater", "What the role's session is called."),
    option("aws_web_identity_token_file", &[], Text, "the environment's", "A file with a web identity's token, renewed by whoever runs the process."),
    option("aws_ec2_metadata_disabled", &[], Flag, "false", "Whether EC2's metadata service is asked for nothing."),
    option("skip_signature", &[], Flag, "false", "Whether requests go unsigned, to a public bucket."),
    option("connect_timeout", &[], Time, "5 seconds", "How long a connection may take to come about."),
    option("timeout", &[], Time, "10 seconds", "How long an answer may take to begin, and then each part of it; what is sent has a second more for each 256 KiB."),
    option("max_retries", &[], Count, "100", "How often a request is tried again."),
    option("retry_timeout", &[], Time, "15 seconds", "For how long a request is tried again, and how long a store may fail everything before it counts as away."),
    option("init_backoff", &["backoff_config.init_backoff", "backoff.init_backoff"], Time, "100 ms", "The first pause before a request is tried again."),
    option("max_backoff", &["backoff_config.max_backoff", "backoff.max_backoff"], Time, "3 seconds", "The longest such pause."),
    option("max_concurrency", &["concurrency_limit"], Count, "no limit", "Requests that are under way at once."),
    option("server_side_encryption", &[], Word(&["AES256", "aws:kms", "aws:kms:dsse", "sse-c"]), "the bucket's", "How objects are encrypted."),
    option("sse_kms_key_id", &[], Text, "", "The KMS key for that."),
    option("sse_bucket_key_enabled", &[], Flag, "the bucket's", "Whether a bucket key is used with KMS."),
    option("sse_customer_key_base64", &[], Text, "", "The key for `sse-c`."),
    option("checksum_algorithm", &[], Word(&["sha256"]), "none", "A checksum that is sent with each object."),
    option("unsigned_payload", &[], Flag, "false", "Whether bodies are left out of the signature."),
    option("disable_tagging", &[], Flag, "false", "Whether objects get no tags."),
    option("proxy_url", &[], Text, "", "A proxy to go through."),
    option("proxy_ca_certificate", &[], Text, "", "The proxy's certificate, as PEM."),
    option("proxy_excludes", &[], Text, "", "Hosts that are reached without it, separated by commas."),
    option("certificate_path", &[], Text, "the system's", "A PEM file with a certificate authority that the store's certificate is held against too."),
    option("allow_invalid_certificates", &[], Flag, "false", "Whether a certificate is not looked at. For tests only."),
    option("user_agent", &[], Text, "highwater/VERSION", "How the program calls itself."),
    option("default_content_type", &[], Text, "", "The content type of objects."),
    option("http1_only", &[], Flag, "true", "Whether HTTP/1 is used."),
    option("http2_only", &[], Flag, "false", "Whether HTTP/2 is used."),
    option("http2_keep_alive_interval", &[], Time, "", "How often a connection by HTTP/2 is tried."),
    option("http2_keep_alive_timeout", &[], Time, "", "How long that may take."),
    option("http2_keep_alive_while_idle", &[], Flag, "false", "Whether idle ones are tried too."),
    option("http2_max_frame_size", &[], Count, "", "The largest frame of HTTP/2, in bytes."),
    option("pool_idle_timeout", &[], Time, "90 seconds", "How long an idle connection is kept."),
    option("pool_max_idle_per_host", &[], Count, "no limit", "How many idle connections are kept."),
    option("randomize_addresses", &[], Flag, "true", "Whether any of a name's addresses is tried first."),
];

/// Names that other tools know and highwater does not, with what to do instead.
const OTHERS: [(&str, &str); 9] = [
    ("s3_allow_unsafe_rename", "commits are made by conditional PUTs, which need no leave: leave it out"),
    ("conditional_put", "commits always need conditional PUTs by ETag: leave it out"),
    ("copy_if_not_exists", "commits are made by conditional PUTs: leave it out"),
    ("bucket", "the bucket stands in each table's URL: leave it out"),
    ("bucket_name", "the bucket stands in each table's URL: leave it out"),
    ("container_credentials_relative_uri", "ECS sets it in the environment, where it is read: leave it out"),
    ("container_credentials_full_uri", "set AWS_CONTAINER_CREDENTIALS_FULL_URI in the environment"),
    ("container_authorization_token_file", "set AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE in the environment"),
    ("metadata_endpoint", "set AWS_EC2_METADATA_SERVICE_ENDPOINT in the environment"),
];

impl StorageOption {
    /// Whether it is called so.
    fn is_called(&self, name: &str) -> bool {
        let short = |name: &str| name.strip_prefix("aws_").unwrap_or(name).to_owned();
        let name = short(name);
        short(self.name) == name || self.aliases.iter().any(|alias| *alias == name)
    }

    /// What it does, which values it takes, and what stands for it.
    pub(crate) fn description(&self) -> String {
        let values = match self.kind {
            Text | Flag => String::new(),
            Word(_) => format!(" One of {}.", self.values()),
            Time | Count => format!(" {}.", self.values().replacen('a', "A", 1)),
        };
        let default =
            if self.default.is_empty() { String::new() } else { format!(" Left out: {}.", self.default) };
        format!("{}{values}{default}", self.meaning)
    }

    /// The words for the values that it takes.
    pub(crate) fn values(&self) -> String {
        match self.kind {
            Text => "text".to_owned(),
            Flag => "`true` or `false`".to_owned(),
            Time => "a time, such as `10 seconds`".to_owned(),
            Count => "a whole number".to_owned(),
            Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Options of the lock table that other builds of delta-rs hold while they commit.
fn is_of_locking(lower: &str) -> bool {
    lower == "aws_s3_locking_provider" || lower.starts_with("delta_dynamo_") || lower.ends_with("_dynamodb")
}

/// The option of this name, by the name that it has here.
pub(crate) fn known(name: &str) -> Option<&'static StorageOption> {
    let lower = name.to_lowercase();
    OPTIONS.iter().find(|option| option.is_called(&lower))
}

/// Whether two names stand for one option.
pub(super) fn are_same(one: &str, other: &str) -> bool {
    known(one).zip(known(other)).is_some_and(|(one, other)| one.name == other.name)
}

/// Whether there is an option of this name.
pub(super) fn check(name: &str) -> Result<(), Fault> {
    let lower = name.to_lowercase();
    if is_of_locking(&lower) {
        // Who sets it has other writers that hold the lock, and would take this one to do so too.
        return Err(Fault::new("asks for a lock table, which highwater does not hold").hint(
            "commits are made by conditional PUTs, which S3 and MinIO have: leave it out, and see that no other \
             writer of these tables relies on the lock",
        ));
    }
    if known(name).is_some() {
        return Ok(());
    }
    let short = lower.strip_prefix("aws_").unwrap_or(&lower);
    let fault = Fault::new("is no option of the object store");
    if let Some((_, instead)) = OTHERS.iter().find(|(other, _)| *other == short) {
        return Err(fault.hint(*instead));
    }
    // In the spelling that was begun: with `aws_` or without.
    let full: Vec<String> = OPTIONS
        .iter()
        .flat_map(|option| [option.name].into_iter().chain(option.aliases.iter().copied()))
        .map(|name| name.strip_prefix("aws_").unwrap_or(name))
        .map(|short| if lower.starts_with("aws_") { format!("aws_{short}") } else { short.to_owned() })
        .collect();
    let own: Vec<&str> = if lower.starts_with("aws_") {
        full.iter().map(String::as_str).collect()
    } else {
        OPTIONS.iter().map(|option| option.name).chain(full.iter().map(String::as_str)).collect()
    };
    Err(match near(&lower, own, 1).first() {
        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
        None => fault.hint(
            "options are those of S3, such as `aws_region`, `aws_endpoint_url` or `aws_access_key_id`; \
             docs/object-storage.md lists them",
        ),
    })
}

/// Whether an option takes this value. A fault never holds the value of an option that takes any text.
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), Fault> {
    let Some(option) = known(name) else { return Ok(()) };
    let taken = match option.kind {
        Text => !value.trim().is_empty(),
        Flag => flag(value).is_some(),
        Time => time(value).is_some(),
        Count => value.trim().parse::<u32>().is_ok(),
        Word(words) => words.contains(&value),
    };
    match (taken, option.kind) {
        (true, _) => Ok(()),
        (false, Text) => Err(Fault::new("must not be empty")),
        (false, _) => Err(Fault::new(format!("must be {}, not `{value}`", option.values()))),
    }
}

/// A flag, in any of the ways that AWS's tools, delta-rs and `object_store` write it.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// A time, such as `500 ms`, `10s` or `2 minutes`; a plain number means seconds.
pub(crate) fn time(text: &str) -> Option<Duration> {
    match text.trim().parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text.trim()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_any_case_and_a_mistyped_one_gets_the_nearest() {
        for name in [
            "aws_region",
            "AWS_REGION",
            "region",
            "aws_default_region",
            "AWS_ENDPOINT_URL_S3",
            "endpoint_url",
            "aws_allow_http",
            "max_retries",
            "backoff_config.max_backoff",
        ] {
            assert!(check(name).is_ok(), "{name}");
        }
        for (name, meant) in [
            ("aws_regoin", "aws_region"),
            ("aws_acces_key_id", "aws_access_key_id"),
            ("alow_http", "allow_http"),
            ("aws_enpoint_url", "aws_endpoint_url"),
            ("retry_timout", "retry_timeout"),
        ] {
            let hint = check(name).unwrap_err().hint.unwrap();
            assert_eq!(hint, format!("did you mean `{meant}`?"));
        }
        for name in ["AWS_S3_LOCKING_PROVIDER", "delta_dynamo_table_name", "aws_region_dynamodb"] {
            assert!(check(name).unwrap_err().message.contains("lock table"), "{name}");
        }
        assert!(check("AWS_S3_ALLOW_UNSAFE_RENAME").unwrap_err().hint.unwrap().contains("leave it out"));
        assert!(check("colour").unwrap_err().hint.unwrap().contains("aws_region"));
    }

    #[test]
    fn a_value_that_an_option_does_not_take_is_told_with_those_that_it_does() {
        for (name, value, taken) in [
            ("allow_http", "true", true),
            ("aws_allow_http", "YES", true),
            ("allow_http", "ture", false),
            ("timeout", "30", true),
            ("timeout", "30 seconds", true),
            ("timeout", "soon", false),
            ("max_retries", "3", true),
            ("max_retries", "-3", false),
            ("aws_s3_addressing_style", "virtual", true),
            ("aws_s3_addressing_style", "auto", false),
            ("aws_region", " ", false),
        ] {
            assert_eq!(check_value(name, value).is_ok(), taken, "{name} = {value}");
        }
        let fault = check_value("allow_http", "ture").unwrap_err();
        assert_eq!(fault.message, "must be `true` or `false`, not `ture`");
    }

    #[test]
    fn no_name_stands_for_two_options() {
        let names = |option: &StorageOption| {
            let names = [option.name].into_iter().chain(option.aliases.iter().copied());
            names.map(|name| name.strip_prefix("aws_").unwrap_or(name).to_owned()).collect::<Vec<_>>()
        };
        let mut all: Vec<String> = OPTIONS.iter().flat_map(names).collect();
        let number = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), number);
    }
}
