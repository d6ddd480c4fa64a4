//! Credentials: found once, shared by all tables of a process, and renewed before they run out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use chrono::{DateTime, Utc};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::settings::{From, Settings};
use super::{metadata_client, sdk_config};
use crate::error::hide;
use crate::failure::{NoCredentials, chain};
use crate::model::Clock;

/// How long before they run out credentials are renewed.
const AHEAD: Duration = Duration::from_mins(5);
/// How long those that could not be renewed, or not for long, are used before they are asked for again.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a passing failure stands for those who asked meanwhile.
const MOMENT: Duration = Duration::from_secs(3);
/// How long that may take in all: a person may be asked by a process, a role by two services.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who asks the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The key's id.
    pub(crate) key_id: String,
    /// The account, where the provider tells it.
    pub(crate) account: Option<String>,
    /// Where the credentials came from.
    pub(crate) from: String,
    /// When they run out.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// Credentials that all stores of a process share.
#[derive(Debug)]
pub(super) struct Shared {
    provider: SharedCredentialsProvider,
    /// What the settings say of where they come from.
    said: Option<String>,
    /// The profile that the settings name.
    profile: Option<String>,
    held: Mutex<Held>,
}

/// What came of asking.
#[derive(Debug, Default)]
struct Held {
    known: Option<Known>,
    /// Why there are none.
    none: Option<NoCredentials>,
    /// When they were asked for last.
    asked: Option<Instant>,
}

type Known = (Credentials, Arc<AwsCredential>);

impl Shared {
    /// The provider that the settings ask for. Nobody is asked yet.
    pub(super) async fn new(settings: &Settings, region: &str) -> Self {
        let (base, said) = base(settings, region).await;
        let profile = settings.profile.as_ref().map(|found| found.value.clone());
        let Some(role) = settings.role.as_ref().filter(|_| settings.token_file.is_none()) else {
            return Self { provider: base, said, profile, held: Mutex::default() };
        };
        let provider = AssumeRoleProvider::builder(&role.arn)
            .session_name(&role.session)
            .configure(&sdk_config(profile.as_deref(), region).await)
            .build_from_provider(base)
            .await;
        let said = Some(format!("the role {}", role.arn));
        Self { provider: SharedCredentialsProvider::new(provider), said, profile, held: Mutex::default() }
    }

    /// The credentials that are good for now, asked for only where those that are there run out.
    async fn current(&self) -> Result<Known, NoCredentials> {
        // Held while they are asked for: the others wait, and then have them too.
        let mut held = self.held.lock().await;
        let left = |known: &Known| {
            let until = known.0.expiry()?;
            Some(until.duration_since(now()).unwrap_or_default())
        };
        let known = held.known.clone().filter(|known| left(known).is_none_or(|left| !left.is_zero()));
        if let Some(known) = &known {
            let asked_lately = held.asked.is_some_and(|asked| asked.elapsed() < PAUSE);
            if left(known).is_none_or(|left| left > AHEAD) || asked_lately {
                return Ok(known.clone());
            }
        }
        // What failed a moment ago is not asked again for each request that waited meanwhile; and what does not pass, not
        // at all: another try would only tell it worse.
        if let (None, Some(none), Some(asked)) = (&known, &held.none, held.asked)
            && (!none.passing || asked.elapsed() < MOMENT)
        {
            return Err(none.clone());
        }
        let given = timeout(PATIENCE, self.provider.provide_credentials()).await;
        let given = given.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(PATIENCE)));
        held.asked = Some(Instant::now());
        let fresh = match (given, known) {
            (Ok(fresh), _) => fresh,
            // What is there is still good for some minutes.
            (Err(error), Some(known)) => {
                tracing::warn!(error = chain(&error), "the credentials could not be renewed yet");
                return Ok(known);
            }
            (Err(error), None) => {
                let none = none(&error, self.profile.as_deref());
                held.none = Some(none.clone());
                return Err(none);
            }
        };
        tracing::debug!(from = of(&fresh), "credentials were fetched");
        let shared = AwsCredential {
            key_id: fresh.access_key_id().to_owned(),
            secret_key: fresh.secret_access_key().to_owned(),
            token: fresh.session_token().map(str::to_owned),
        };
        hide(&shared.key_id);
        hide(&shared.secret_key);
        if let Some(token) = &shared.token {
            hide(token);
        }
        Ok(held.known.insert((fresh, Arc::new(shared))).clone())
    }

    /// The credentials that are good for now.
    pub(super) async fn credentials(&self) -> Result<Credentials, NoCredentials> {
        self.current().await.map(|(credentials, _)| credentials)
    }

    /// Who asks.
    pub(super) async fn identity(&self) -> Result<Identity, NoCredentials> {
        let (credentials, _) = self.current().await?;
        Ok(Identity {
            key_id: credentials.access_key_id().to_owned(),
            account: credentials.account_id().map(|account| account.as_str().to_owned()),
            from: self.said.clone().unwrap_or_else(|| of(&credentials).to_owned()),
            until: credentials.expiry().map(DateTime::from),
        })
    }
}

#[async_trait]
impl CredentialProvider for Shared {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let current = self.current().await;
        current
            .map(|(_, shared)| shared)
            .map_err(|none| object_store::Error::Generic { store: "S3", source: Box::new(none) })
    }
}

fn now() -> SystemTime {
    Clock::System.now().into()
}

/// The credentials that a role would be assumed with, and in words where they come from.
async fn base(settings: &Settings, region: &str) -> (SharedCredentialsProvider, Option<String>) {
    if let Some(keys) = &settings.keys {
        let fixed = Credentials::new(&keys.id, &keys.secret, keys.token.clone(), None, "storage");
        return (SharedCredentialsProvider::new(fixed), Some("the pipeline file".to_owned()));
    }
    let config = ProviderConfig::without_region().with_region(Some(Region::new(region.to_owned())));
    if let (Some(file), Some(role)) = (&settings.token_file, &settings.role) {
        let provider = WebIdentityTokenCredentialsProvider::builder()
            .configure(&config)
            .static_configuration(StaticConfiguration {
                web_identity_token_file: file.into(),
                role_arn: role.arn.clone(),
                session_name: role.session.clone(),
            })
            .build();
        return (SharedCredentialsProvider::new(provider), Some(format!("the web identity in {file}")));
    }
    match &settings.profile {
        // The file's word: keys in the environment do not come before it.
        Some(profile) if profile.from == From::File => {
            let provider = ProfileFileCredentialsProvider::builder()
                .configure(&config)
                .profile_name(&profile.value)
                .build();
            (SharedCredentialsProvider::new(provider), Some(format!("profile `{}`", profile.value)))
        }
        _ if settings.metadata_disabled => {
            let profile = settings.profile.as_ref().map_or("default", |profile| profile.value.as_str());
            let chain = CredentialsProviderChain::first_try(
                "Environment",
                EnvironmentVariableCredentialsProvider::new(),
            )
            .or_else(
                "Profile",
                ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build(),
            )
            .or_else(
                "WebIdentityToken",
                WebIdentityTokenCredentialsProvider::builder().configure(&config).build(),
            )
            .or_else("EcsContainer", EcsCredentialsProvider::builder().configure(&config).build());
            (SharedCredentialsProvider::new(chain), None)
        }
        _ => {
            let chain = DefaultCredentialsChain::builder()
                .configure(config)
                .region(Region::new(region.to_owned()))
                .imds_client(metadata_client());
            (SharedCredentialsProvider::new(chain.build().await), None)
        }
    }
}

/// Where the chain found credentials.
fn of(credentials: &Credentials) -> &'static str {
    use AwsCredentialFeature as Feature;

    let features = credentials.get_property::<Vec<Feature>>().map(Vec::as_slice).unwrap_or_default();
    let has = |wanted: &[Feature]| features.iter().any(|feature| wanted.contains(feature));
    if has(&[Feature::CredentialsEnvVars]) {
        "the environment"
    } else if has(&[Feature::CredentialsHttp]) {
        "the task's role"
    } else if has(&[Feature::CredentialsImds]) {
        "the machine's role"
    } else if has(&[Feature::CredentialsSso, Feature::CredentialsProfileSso]) {
        "SSO"
    } else if has(&[Feature::CredentialsEnvVarsStsWebIdToken, Feature::CredentialsStsAssumeRoleWebId]) {
        "a web identity"
    } else if has(&[Feature::CredentialsProcess, Feature::CredentialsProfileProcess]) {
        "a profile's process"
    } else {
        "a profile"
    }
}

/// Why there are none, and whether that may pass.
fn none(error: &CredentialsError, profile: Option<&str>) -> NoCredentials {
    let why = chain(error);
    let lower = why.to_lowercase();
    let is_of_person = ["accessdenied", "not authorized", "invalididentitytoken", "sso", "defined"]
        .iter()
        .any(|word| lower.contains(word));
    // The last of the chain: where it does not answer, this is no machine of AWS.
    let is_metadata = lower.contains("failed to load imds session token");
    match error {
        _ if is_metadata || matches!(error, CredentialsError::CredentialsNotLoaded(_)) => NoCredentials {
            told: match profile {
                Some(profile) => {
                    format!("no credentials for S3 were found, nor any by the profile `{profile}`")
                }
                None => "no credentials for S3 were found".to_owned(),
            },
            passing: false,
            hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, run as a task with a role, or name \
                   keys under `storage`; `highwater doctor` tells where it looks",
        },
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) if !is_of_person => {
            NoCredentials {
                told: format!("the credentials could not be fetched: {why}"),
                passing: true,
                hint: "whoever gives them did not answer as it should: run it again later",
            }
        }
        _ => NoCredentials {
            told: format!("no credentials for S3 were given: {why}"),
            passing: false,
            hint: "check the profile, the role and whether its session is still good, such as by `aws sts \
                   get-caller-identity`; `aws sso login` renews one of SSO",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::provider::{ProvideCredentials, future};

    use super::*;

    /// Gives credentials that run out after so long, and fails from the second time on where it is told to.
    #[derive(Debug)]
    struct Giver {
        lasting: Duration,
        fails_later: bool,
        asked: Arc<AtomicUsize>,
    }

    impl ProvideCredentials for Giver {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let times = self.asked.fetch_add(1, Ordering::SeqCst);
            if times > 0 && self.fails_later {
                return future::ProvideCredentials::ready(Err(CredentialsError::provider_error("503")));
            }
            let until = now() + self.lasting;
            let given = Credentials::new(format!("id{times}"), "of-a-test", None, Some(until), "giver");
            future::ProvideCredentials::ready(Ok(given))
        }
    }

    fn shared(lasting: Duration, fails_later: bool) -> (Shared, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let giver = Giver { lasting, fails_later, asked: Arc::clone(&asked) };
        let provider = SharedCredentialsProvider::new(giver);
        (Shared { provider, said: None, profile: None, held: Mutex::default() }, asked)
    }

    #[tokio::test]
    async fn credentials_are_asked_for_once_while_they_last() {
        let (shared, asked) = shared(Duration::from_hours(1), false);
        let all = futures::future::join_all((0..20).map(|_| shared.get_credential())).await;
        assert!(all.iter().all(|one| one.as_ref().unwrap().key_id == "id0"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn credentials_are_renewed_five_minutes_ahead() {
        let (shared, asked) = shared(AHEAD.saturating_sub(Duration::from_secs(1)), false);
        for (wanted, later) in [("id0", false), ("id0", false), ("id1", true), ("id1", false)] {
            if later {
                let mut held = shared.held.lock().await;
                held.asked = held.asked.and_then(|asked| asked.checked_sub(PAUSE));
            }
            assert_eq!(shared.get_credential().await.unwrap().key_id, wanted);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn failure_is_told_to_all_who_asked_meanwhile_and_asked_for_again_if_it_passes() {
        let (shared, asked) = shared(Duration::ZERO, true);
        shared.get_credential().await.unwrap();
        for _ in 0..5 {
            assert!(shared.get_credential().await.is_err());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        shared.held.lock().await.asked = None;
        assert!(shared.get_credential().await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn credentials_that_cannot_be_renewed_are_used_while_they_last() {
        let (shared, _) = shared(Duration::from_mins(1), true);
        for _ in 0..3 {
            assert_eq!(shared.get_credential().await.unwrap().key_id, "id0");
        }
        let (gone, _) = self::shared(Duration::ZERO, true);
        gone.get_credential().await.unwrap();
        assert!(gone.get_credential().await.is_err());
    }

    #[test]
    fn what_may_pass_is_told_from_what_a_person_has_to_mend() {
        assert!(!none(&CredentialsError::not_loaded_no_source(), None).passing);
        assert!(none(&CredentialsError::provider_timed_out(PATIENCE), None).passing);
        assert!(none(&CredentialsError::provider_error("503 Service Unavailable"), None).passing);
        let imds = |why: &str| none(&CredentialsError::provider_error(why.to_owned()), None).passing;
        assert!(imds("error response from IMDS (code: 503)"));
        assert!(!imds("failed to load IMDS session token: dispatch failure"));
        assert!(imds("ExpiredTokenException: the token has run out"));
        assert!(!none(&CredentialsError::provider_error("AccessDenied: not this role"), None).passing);
        assert!(!none(&CredentialsError::invalid_configuration("odd"), None).passing);
    }
}
