//! What a process asks of S3: settled from the pipeline file, the environment and a profile, in that order.
//!
//! Pure: [`settle`] decides from what it is given, and nobody is asked over the network.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use object_store::aws::AmazonS3ConfigKey;
use object_store::{BackoffConfig, ClientConfigKey, RetryConfig};
use url::Url;

use crate::config::{OPTIONS, StorageOption, check_storage_value, flag, storage_option, time};
use crate::error::{Error, Result};

/// How long a store that fails everything is asked again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_BACKOFF: Duration = Duration::from_secs(3);
/// So many that it is the time which ends them.
const MAX_RETRIES: usize = 100;
const CONNECT_TIMEOUT: &str = "5 seconds";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// The pipeline file, under `storage`.
    File,
    /// A variable of the environment.
    Env(String),
    /// A profile of AWS's config files.
    Profile(String),
    /// The metadata service of the machine.
    Metadata,
    /// Nobody said it.
    Default,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the pipeline file"),
            Self::Env(name) => f.write_str(name),
            Self::Profile(name) => write!(f, "profile `{name}`"),
            Self::Metadata => f.write_str("the machine's metadata service"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) value: String,
    pub(crate) from: From,
}

/// Keys that the pipeline file holds.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session: String,
}

/// What is known before anybody is asked.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Settings {
    /// The profile, where the pipeline file or the environment names one.
    pub(super) profile: Option<Found>,
    pub(super) region: Option<Found>,
    pub(super) endpoint: Option<Found>,
    pub(super) keys: Option<Keys>,
    pub(super) role: Option<Role>,
    /// The file of a web identity's token, where the pipeline file names one.
    pub(super) token_file: Option<String>,
    pub(super) metadata_disabled: bool,
    pub(super) unsigned: bool,
    pub(super) allow_http: bool,
    pub(super) virtual_hosted: bool,
    pub(super) certificate_path: Option<String>,
    pub(super) max_concurrency: Option<usize>,
    pub(super) retry: RetryConfig,
    /// How long an answer may take to begin, and each part of it to come.
    pub(super) timeout: Duration,
    /// What the store itself reads.
    pub(super) passed_on: Vec<(AmazonS3ConfigKey, String)>,
}

/// What the pipeline file and the environment say.
struct Said<'a> {
    options: &'a [(String, String)],
    env: &'a [(String, String)],
}

impl Said<'_> {
    fn in_file(&self, name: &str) -> Option<Found> {
        let is_it = |given: &str| storage_option(given).is_some_and(|option| option.name == name);
        let (_, value) = self.options.iter().find(|(given, _)| is_it(given))?;
        Some(Found { value: value.clone(), from: From::File })
    }

    /// The first of these variables that is set, and not empty.
    fn in_env(&self, names: &[&str]) -> Option<Found> {
        names.iter().find_map(|name| {
            let (name, value) = self.env.iter().find(|(known, value)| known == name && !value.is_empty())?;
            Some(Found { value: value.clone(), from: From::Env(name.clone()) })
        })
    }

    /// An option of the file, or the variable that is called like it.
    fn option(&self, option: &StorageOption) -> Result<Option<Found>> {
        let short = option.name.strip_prefix("aws_").unwrap_or(option.name);
        let variable = format!("AWS_{}", short.to_uppercase());
        let Some(found) = self.in_file(option.name).or_else(|| self.in_env(&[&variable])) else {
            return Ok(None);
        };
        // Those of the file were checked when it was read.
        match check_storage_value(option.name, &found.value) {
            Ok(()) => Ok(Some(found)),
            Err(fault) => Err(Error::usage(format!("{} {}", found.from, fault.message))),
        }
    }

    fn named(&self, name: &str) -> Result<Option<Found>> {
        storage_option(name).map_or(Ok(None), |option| self.option(option))
    }

    fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.named(name)?.and_then(|found| flag(&found.value)).unwrap_or_default())
    }

    fn time(&self, name: &str) -> Result<Option<Duration>> {
        Ok(self.named(name)?.and_then(|found| time(&found.value)))
    }

    fn count(&self, name: &str) -> Result<Option<usize>> {
        Ok(self.named(name)?.and_then(|found| found.value.trim().parse().ok()))
    }

    /// Two options say this; one of the file wins over either of the environment.
    fn virtual_hosted(&self) -> Result<bool> {
        let (by_flag, by_style) =
            (self.named("virtual_hosted_style_request")?, self.named("aws_s3_addressing_style")?);
        let is_of_file = |found: &Option<Found>| found.as_ref().is_some_and(|found| found.from == From::File);
        let by_flag = if is_of_file(&by_style) && !is_of_file(&by_flag) { None } else { by_flag };
        Ok(match (by_flag, by_style) {
            (Some(found), _) => flag(&found.value).unwrap_or_default(),
            (None, style) => style.is_some_and(|style| style.value == "virtual"),
        })
    }

    fn keys(&self) -> Result<Option<Keys>> {
        let value = |name| self.in_file(name).map(|found| found.value);
        let token = value("aws_session_token");
        match (value("aws_access_key_id"), value("aws_secret_access_key")) {
            (Some(id), Some(secret)) => Ok(Some(Keys { id, secret, token })),
            (Some(_), None) => Err(half("`storage` has `aws_access_key_id` without `aws_secret_access_key`")),
            (None, Some(_)) => Err(half("`storage` has `aws_secret_access_key` without `aws_access_key_id`")),
            (None, None) if token.is_some() => {
                Err(half("`storage` has `aws_session_token` without the key that it belongs to"))
            }
            (None, None) => {
                let is_set = |name: &str| self.in_env(&[name]).is_some();
                match (is_set("AWS_ACCESS_KEY_ID"), is_set("AWS_SECRET_ACCESS_KEY")) {
                    (true, false) => Err(half("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY")),
                    (false, true) => Err(half("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID")),
                    _ => Ok(None),
                }
            }
        }
    }

    /// The region and the endpoint are AWS's own variables, of which some win over others.
    fn endpoint(&self) -> Option<Found> {
        let ignored = self.in_env(&["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]);
        let variables = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
        let by_env = || match ignored.as_ref().and_then(|found| flag(&found.value)) {
            Some(true) => None,
            _ => self.in_env(&variables),
        };
        self.in_file("aws_endpoint_url").or_else(by_env)
    }
}

fn half(what: &str) -> Error {
    Error::usage(what).hint("a key is an id and its secret, and both come from one place: set both, or none")
}

/// Settles what was said. `options` are those of the pipeline file, by any of their names.
///
/// # Errors
/// Fails on half a key, and on a variable with a value that its option does not take.
pub(super) fn settle(options: &[(String, String)], env: &[(String, String)]) -> Result<Settings> {
    let said = Said { options, env };
    let file = |name: &str| said.in_file(name).map(|found| found.value);
    let session = file("aws_role_session_name")
        .or_else(|| said.in_env(&["AWS_IAM_ROLE_SESSION_NAME"]).map(|found| found.value));
    let arn = file("aws_role_arn").or_else(|| {
        // AWS_ROLE_ARN belongs to a web identity, of which the chain knows.
        said.in_env(&["AWS_IAM_ROLE_ARN", "AWS_S3_ASSUME_ROLE_ARN"]).map(|found| found.value)
    });
    let token_file = file("aws_web_identity_token_file");
    let arn = arn.or_else(|| {
        // Of a token in the file, the role may stand where that of a token in the environment does.
        said.in_env(&["AWS_ROLE_ARN"]).filter(|_| token_file.is_some()).map(|found| found.value)
    });
    if token_file.is_some() && arn.is_none() {
        return Err(Error::usage("`storage` has `aws_web_identity_token_file` without `aws_role_arn`")
            .hint("a web identity's token is exchanged for a role: name it"));
    }
    let mut settings = Settings {
        profile: said.in_file("aws_profile").or_else(|| said.in_env(&["AWS_PROFILE"])),
        region: said.in_file("aws_region").or_else(|| said.in_env(&["AWS_REGION", "AWS_DEFAULT_REGION"])),
        endpoint: said.endpoint(),
        keys: said.keys()?,
        role: arn.map(|arn| Role { arn, session: session.unwrap_or_else(|| "highwater".to_owned()) }),
        token_file,
        metadata_disabled: said.flag("aws_ec2_metadata_disabled")?,
        unsigned: said.flag("skip_signature")?,
        allow_http: said.flag("allow_http")?,
        virtual_hosted: said.virtual_hosted()?,
        certificate_path: said.named("certificate_path")?.map(|found| found.value),
        max_concurrency: said.count("max_concurrency")?.filter(|most| *most > 0),
        retry: RetryConfig {
            backoff: BackoffConfig {
                max_backoff: said.time("max_backoff")?.unwrap_or(MAX_BACKOFF),
                init_backoff: said
                    .time("init_backoff")?
                    .unwrap_or_else(|| BackoffConfig::default().init_backoff),
                ..BackoffConfig::default()
            },
            max_retries: said.count("max_retries")?.unwrap_or(MAX_RETRIES),
            retry_timeout: said.time("retry_timeout")?.unwrap_or(RETRY_TIMEOUT),
        },
        timeout: said.time("timeout")?.unwrap_or(TIMEOUT),
        passed_on: Vec::new(),
    };
    for option in OPTIONS.iter().filter(|option| !is_ours(option.name)) {
        let Ok(key) = AmazonS3ConfigKey::from_str(option.name) else { continue };
        let default = match key {
            AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout) => Some(CONNECT_TIMEOUT),
            AmazonS3ConfigKey::Client(ClientConfigKey::UserAgent) => {
                Some(concat!("highwater/", env!("CARGO_PKG_VERSION")))
            }
            _ => None,
        };
        let found = said.option(option)?.map(|found| found.value);
        if let Some(value) = found.or_else(|| default.map(str::to_owned)) {
            // A plain number means seconds, which the store does not know.
            let is_time = option.values().starts_with("a time");
            let value = match time(&value) {
                Some(time) if is_time => format!("{} ms", time.as_millis()),
                _ => value,
            };
            settings.passed_on.push((key, value));
        }
    }
    Ok(settings)
}

/// Options that are settled here, and that the store is not given by name.
fn is_ours(name: &str) -> bool {
    [
        "aws_region",
        "aws_endpoint_url",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_role_arn",
        "aws_role_session_name",
        "aws_web_identity_token_file",
        "allow_http",
        "virtual_hosted_style_request",
        "skip_signature",
        // The store's own would be for a whole exchange, however much is sent.
        "timeout",
    ]
    .contains(&name)
}

/// The endpoint, where one is set, as a URL that may be used.
///
/// # Errors
/// Fails on what is no URL, and on one without encryption that is not allowed.
pub(super) fn checked_endpoint(endpoint: &Found, allow_http: bool) -> Result<Url> {
    let Found { value, from } = endpoint;
    let url = Url::parse(value).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let url = url.filter(Url::has_host).ok_or_else(|| {
        Error::usage(format!("the endpoint `{value}`, from {from}, is no URL of a store"))
            .hint("write it with its scheme, such as http://localhost:9000")
    })?;
    if url.scheme() == "http" && !allow_http {
        return Err(Error::usage(format!("the endpoint {value}, from {from}, has no encryption"))
            .hint("where that is meant, set `allow_http: true` under `storage`; else write https://"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn settled(options: &[(&str, &str)], env: &[(&str, &str)]) -> Settings {
        settle(&pairs(options), &pairs(env)).unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    fn told(options: &[(&str, &str)], env: &[(&str, &str)]) -> String {
        settle(&pairs(options), &pairs(env)).err().map(|error| error.chain()).unwrap_or_default()
    }

    #[test]
    fn file_wins_over_environment_and_s3s_own_variable_over_the_general_one() {
        let env = [
            ("AWS_DEFAULT_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "https://all"),
            ("AWS_ENDPOINT_URL_S3", "https://s3"),
        ];
        let region = |settings: Settings| settings.region.map(|found| (found.value, found.from));
        let by_env = settled(&[], &env);
        assert_eq!(by_env.endpoint.as_ref().unwrap().value, "https://s3");
        assert_eq!(
            region(by_env),
            Some(("eu-west-1".to_owned(), From::Env("AWS_DEFAULT_REGION".to_owned())))
        );
        let with_both = [("AWS_REGION", "us-west-2"), env[0]];
        assert_eq!(region(settled(&[], &with_both)).unwrap().0, "us-west-2");
        let by_file = settled(&[("REGION", "ap-south-1"), ("endpoint", "https://file")], &env);
        assert_eq!(by_file.endpoint.as_ref().unwrap().value, "https://file");
        assert_eq!(region(by_file), Some(("ap-south-1".to_owned(), From::File)));
        let ignored = [env[1], env[2], ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
        assert!(settled(&[], &ignored).endpoint.is_none());
    }

    #[test]
    fn variable_without_the_prefix_of_aws_is_no_option() {
        let env = [("REGION", "x"), ("TOKEN", "x"), ("ENDPOINT", "x"), ("TIMEOUT", "x"), ("BUCKET", "x")];
        let settings = settled(&[], &env);
        assert!(settings.region.is_none() && settings.endpoint.is_none() && settings.keys.is_none());
    }

    #[test]
    fn half_a_key_is_refused_wherever_it_stands_and_never_mended_from_elsewhere() {
        let id = ("aws_access_key_id", "id");
        let secret = ("aws_secret_access_key", "s");
        let env = [("AWS_SECRET_ACCESS_KEY", "other"), ("AWS_ACCESS_KEY_ID", "other")];
        assert!(told(&[id], &env).contains("without `aws_secret_access_key`"));
        assert!(told(&[secret], &env).contains("without `aws_access_key_id`"));
        assert!(told(&[("token", "t")], &env).contains("without the key"));
        assert!(told(&[], &env[..1]).contains("without AWS_ACCESS_KEY_ID"));
        assert!(told(&[], &env[1..]).contains("without AWS_SECRET_ACCESS_KEY"));
        // A session token of the environment belongs to its keys, not to those of the file.
        let keys = settled(&[id, secret], &[("AWS_SESSION_TOKEN", "t")]).keys;
        assert!(keys.is_some_and(|keys| keys.token.is_none()));
    }

    #[test]
    fn style_of_the_file_wins_over_either_of_the_environment() {
        let env = [("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"), ("AWS_S3_ADDRESSING_STYLE", "virtual")];
        assert!(settled(&[], &env[..1]).virtual_hosted && settled(&[], &env[1..]).virtual_hosted);
        assert!(!settled(&[("aws_s3_addressing_style", "path")], &env).virtual_hosted);
        assert!(!settled(&[("virtual_hosted_style_request", "false")], &env).virtual_hosted);
    }

    #[test]
    fn token_file_wants_a_role() {
        let token = ("aws_web_identity_token_file", "/token");
        assert!(told(&[token], &[]).contains("without `aws_role_arn`"));
        assert!(settled(&[token], &[("AWS_ROLE_ARN", "arn:x")]).role.is_some());
    }

    #[test]
    fn bad_value_in_the_environment_is_told_with_its_variable() {
        assert_eq!(
            told(&[], &[("AWS_ALLOW_HTTP", "ture")]),
            "AWS_ALLOW_HTTP must be `true` or `false`, not `ture`"
        );
    }

    #[test]
    fn endpoint_without_encryption_is_refused_unless_it_is_allowed() {
        let endpoint = |value: &str| Found { value: value.to_owned(), from: From::File };
        let http = endpoint("http://localhost:9000");
        assert!(checked_endpoint(&http, false).unwrap_err().hint_text().unwrap().contains("allow_http"));
        assert!(checked_endpoint(&http, true).is_ok());
        assert!(checked_endpoint(&endpoint("https://store"), false).is_ok());
        for value in ["localhost:9000", "ftp://store", "store", ""] {
            assert!(checked_endpoint(&endpoint(value), true).is_err(), "{value}");
        }
    }

    #[test]
    fn every_option_is_settled_here_or_read_by_the_store() {
        let read_here = [
            "aws_profile",
            "aws_s3_addressing_style",
            "aws_ec2_metadata_disabled",
            "max_retries",
            "retry_timeout",
            "init_backoff",
            "max_backoff",
            "max_concurrency",
            "certificate_path",
        ];
        for option in &OPTIONS {
            let by_store = AmazonS3ConfigKey::from_str(option.name).is_ok();
            assert!(by_store || read_here.contains(&option.name), "{}", option.name);
        }
    }

    #[test]
    fn waiting_ends_unless_somebody_says_otherwise() {
        let settings = settled(&[("timeout", "7")], &[]);
        let passed = |name: &str| {
            let key = AmazonS3ConfigKey::from_str(name).unwrap();
            settings.passed_on.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone())
        };
        assert_eq!((settings.timeout, passed("timeout")), (Duration::from_secs(7), None));
        assert_eq!(passed("connect_timeout").as_deref(), Some("5000 ms"));
        assert_eq!(settings.retry.retry_timeout, RETRY_TIMEOUT);
    }
}
