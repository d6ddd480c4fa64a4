//! The wire to a store: what each request came to.
//!
//! `object_store` tries a request again on its own, each anew, so a store that answers nothing would cost a command as many
//! times the patience as it makes requests. Here all requests of a process are seen: once the store has failed them all
//! for as long as one of them may be tried again, each further one fails at once, or after a moment. And an object whose
//! request got no answer in its time has a moment for the next.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService, ReqwestConnector,
};

use crate::model::Clock;

/// How long a request may take to a store, or for an object, that has answered nothing for long.
const MOMENT: Duration = Duration::from_secs(3);

/// How a store has answered so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// Requests that were answered.
    pub(crate) answers: u64,
    /// How far this machine's clock is ahead of the store's, as the newest answer has it.
    pub(crate) ahead: Option<TimeDelta>,
}

/// What is known of a store, by all requests to it.
#[derive(Debug)]
pub(super) struct WireState {
    /// How long it may fail everything.
    patience: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Since when it has failed everything.
    failing: Option<Instant>,
    /// The paths of which the last request ran out of time.
    hung: HashSet<String>,
    health: Health,
}

#[derive(Debug, thiserror::Error)]
#[error("the store has answered nothing for {0} s")]
struct Silent(u64);

#[derive(Debug, thiserror::Error)]
#[error("the store has failed every request for {0} s, status code: {1}")]
struct Failing(u64, http::StatusCode);

impl WireState {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, seen: Mutex::default() }
    }

    pub(super) fn health(&self) -> Health {
        self.seen().health.clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long everything has failed, if it is too long.
    fn given_up(&self) -> Option<Duration> {
        let failing = self.seen().failing?.elapsed();
        Some(failing).filter(|failing| *failing >= self.patience)
    }

    fn is_hung(&self, path: &str) -> bool {
        self.seen().hung.contains(path)
    }

    fn note(&self, begun: Instant, path: &str, result: &Result<HttpResponse, HttpError>) {
        let mut seen = self.seen();
        match result {
            Ok(response) => {
                seen.hung.remove(path);
                let status = response.status();
                if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
                    seen.failing.get_or_insert(begun);
                } else {
                    seen.failing = None;
                }
                seen.health.answers += 1;
                let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
                if let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
                    seen.health.ahead = Some(Clock::System.now() - date.to_utc());
                }
            }
            Err(error) => {
                seen.failing.get_or_insert(begun);
                if error.kind() == HttpErrorKind::Timeout {
                    seen.hung.insert(path.to_owned());
                }
            }
        }
    }
}

/// Connects to stores, each request seen by one state.
#[derive(Debug)]
pub(super) struct Wire(pub(super) Arc<WireState>);

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Watched { inner, state: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct Watched {
    inner: HttpClient,
    state: Arc<WireState>,
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (begun, path) = (Instant::now(), request.uri().path().to_owned());
        let result = if self.state.given_up().is_some() || self.state.is_hung(&path) {
            let result = tokio::time::timeout(MOMENT, self.inner.execute(request)).await;
            // Of a kind that is not tried again.
            result.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Unknown, Elapsed)))
        } else {
            self.inner.execute(request).await
        };
        self.state.note(begun, &path, &result);
        match (self.state.given_up(), result) {
            (Some(since), Err(error)) => {
                let silent = Silent(since.as_secs());
                tracing::debug!(%error, %silent, "a request is not tried again");
                Err(HttpError::new(HttpErrorKind::Unknown, Both(silent, error)))
            }
            (Some(since), Ok(response)) if is_passing(response.status()) => {
                let failing = Failing(since.as_secs(), response.status());
                Err(HttpError::new(HttpErrorKind::Unknown, failing))
            }
            (_, Ok(response)) => Ok(with_region(response)),
            (_, Err(error)) => Err(error),
        }
    }
}

fn is_passing(status: http::StatusCode) -> bool {
    (status.is_server_error() && status != http::StatusCode::NOT_IMPLEMENTED)
        || status == http::StatusCode::TOO_MANY_REQUESTS
}

#[derive(Debug, thiserror::Error)]
#[error("no answer in {} s", MOMENT.as_secs())]
struct Elapsed;

/// Both why a request is not tried again, and how it failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
struct Both(Silent, #[source] HttpError);

/// A redirection to another region keeps its region in a header, of which `object_store`'s errors know nothing: it is told
/// as a refusal, with a document like those that S3 sends.
fn with_region(response: HttpResponse) -> HttpResponse {
    let status = response.status();
    let region = response.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
    let Some(region) = region.filter(|_| status.is_redirection() && status != http::StatusCode::NOT_MODIFIED)
    else {
        return response;
    };
    let document = format!(
        "<Error><Code>PermanentRedirect</Code><Message>the bucket lies in {region}</Message><Region>{region}</Region></Error>"
    );
    let (mut parts, _) = response.into_parts();
    parts.status = http::StatusCode::BAD_REQUEST;
    parts.headers.remove(http::header::CONTENT_LENGTH);
    HttpResponse::from_parts(parts, HttpResponseBody::from(document))
}
