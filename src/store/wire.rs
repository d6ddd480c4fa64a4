//! The wire to a store: what each request came to.
//!
//! `object_store` tries a request again on its own, each anew, so a store that answers nothing would cost a command as many
//! times the patience as it makes requests. Here all requests of a process are seen: once the store has failed them all
//! for as long as one of them may be tried again, each further one fails at once, or after a moment. And an object whose
//! request got no answer in its time has a moment for the next.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService, ReqwestConnector,
};

use crate::model::Clock;

/// What a request may send in a second at least: slower, and nobody would wait for its end.
const SLOWEST: u64 = 256 << 10;
/// How long a request may take to a store, or for an object, that has answered nothing for long.
const MOMENT: Duration = Duration::from_secs(3);

/// How a store has answered so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// How far this machine's clock is ahead of the store's, as the newest answer has it.
    pub(crate) ahead: Option<TimeDelta>,
}

/// What is known of a store, by all requests to it.
#[derive(Debug)]
pub(super) struct WireState {
    /// How long an answer may take to begin, and each part of it to come.
    timeout: Duration,
    /// How long it may fail everything.
    patience: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Since when it has failed everything.
    failing: Option<Instant>,
    /// When it last did not.
    heard: Option<Instant>,
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
    pub(super) fn new(timeout: Duration, patience: Duration) -> Self {
        Self { timeout, patience, seen: Mutex::default() }
    }

    /// How long a request may take to be answered, and whether it is no more than a moment.
    fn allowed(&self, path: &str, bytes: usize) -> (Duration, bool) {
        if self.given_up().is_some() || self.seen().hung.contains(path) {
            return (MOMENT.min(self.timeout), true);
        }
        let sent = Duration::from_secs(u64::try_from(bytes).unwrap_or(u64::MAX) / SLOWEST);
        (self.timeout + sent, false)
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

    fn note(&self, begun: Instant, path: &str, result: &Result<HttpResponse, HttpError>) {
        let mut seen = self.seen();
        // A request that waited in vain has failed all along, unless others were answered meanwhile.
        let waited = seen.heard.map_or(begun, |heard| heard.max(begun));
        match result {
            Ok(response) => {
                seen.hung.remove(path);
                let status = response.status();
                if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
                    seen.failing.get_or_insert_with(Instant::now);
                } else {
                    seen.failing = None;
                    seen.heard = Some(Instant::now());
                }
                let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
                if let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
                    seen.health.ahead = Some(Clock::System.now() - date.to_utc());
                }
            }
            Err(error) => {
                if error.kind() == HttpErrorKind::Timeout {
                    seen.failing.get_or_insert(waited);
                    seen.hung.insert(path.to_owned());
                } else {
                    seen.failing.get_or_insert_with(Instant::now);
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
        let (allowed, is_moment) = self.state.allowed(&path, request.body().content_length());
        let result = tokio::time::timeout(allowed, self.inner.execute(request)).await;
        let result = result.unwrap_or_else(|_| {
            // After a moment only, it is of a kind that is not tried again.
            let kind = if is_moment { HttpErrorKind::Unknown } else { HttpErrorKind::Timeout };
            Err(HttpError::new(kind, Elapsed(allowed.as_secs())))
        });
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
            (_, Ok(response)) => Ok(patient(with_region(response), self.state.timeout)),
            (_, Err(error)) => Err(error),
        }
    }
}

fn is_passing(status: http::StatusCode) -> bool {
    (status.is_server_error() && status != http::StatusCode::NOT_IMPLEMENTED)
        || status == http::StatusCode::TOO_MANY_REQUESTS
}

#[derive(Debug, thiserror::Error)]
#[error("no answer in {0} s")]
struct Elapsed(u64);

/// The answer, of whose body each part comes in time.
fn patient(response: HttpResponse, timeout: Duration) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let body = Patient { body, timeout, waiting: None };
    HttpResponse::from_parts(parts, HttpResponseBody::new(body))
}

/// A body that fails where its next part does not come in time.
struct Patient {
    body: HttpResponseBody,
    timeout: Duration,
    /// Since somebody waits for a part: while nobody does, no time passes.
    waiting: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(part) => {
                self.waiting = None;
                Poll::Ready(part)
            }
            Poll::Pending => {
                let timeout = self.timeout;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                let timeout = timeout.as_secs();
                waiting
                    .as_mut()
                    .poll(context)
                    .map(|()| Some(Err(HttpError::new(HttpErrorKind::Timeout, Elapsed(timeout)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

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

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    /// Answers as it is told to, late or with a body that stops.
    #[derive(Debug)]
    struct Server {
        late: Duration,
        stops: bool,
    }

    #[async_trait]
    impl HttpService for Server {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            tokio::time::sleep(self.late).await;
            let body = if self.stops { HttpResponseBody::new(Stopped) } else { String::from("a").into() };
            Ok(http::Response::new(body))
        }
    }

    /// A body of which nothing ever comes.
    struct Stopped;

    impl Body for Stopped {
        type Data = Bytes;
        type Error = HttpError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
            Poll::Pending
        }
    }

    fn watched(server: Server, timeout: Duration) -> Watched {
        let state = Arc::new(WireState::new(timeout, Duration::from_secs(15)));
        Watched { inner: HttpClient::new(server), state }
    }

    fn request(bytes: usize) -> HttpRequest {
        let body = HttpRequestBody::from(vec![0; bytes]);
        http::Request::put("http://h/k").body(body).unwrap()
    }

    #[tokio::test]
    async fn request_has_time_by_what_it_sends() {
        let late = |late| Server { late, stops: false };
        let timeout = Duration::from_millis(50);
        let error = watched(late(Duration::from_hours(1)), timeout).call(request(10)).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
        assert!(watched(late(Duration::from_millis(300)), timeout).call(request(300 << 10)).await.is_ok());
    }

    #[tokio::test]
    async fn body_that_stops_is_an_end_and_not_waited_for() {
        use futures::StreamExt as _;
        let server = Server { late: Duration::ZERO, stops: true };
        let answer = watched(server, Duration::from_millis(50)).call(request(0)).await.unwrap();
        // While nobody asks for a part, none is late.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        let part = answer.into_body().bytes_stream().next().await.unwrap();
        assert_eq!(part.unwrap_err().kind(), HttpErrorKind::Timeout);
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn store_that_answers_others_is_not_given_up_for_one_request_that_waited() {
        let state = WireState::new(Duration::from_secs(30), Duration::from_secs(15));
        let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        let failed = || Err(HttpError::new(HttpErrorKind::Timeout, Elapsed(30)));
        state.note(long_ago, "/b/other", &Ok(http::Response::new(String::new().into())));
        state.note(long_ago, "/b/slow", &failed());
        assert_eq!(state.given_up(), None);
        // For that object, there is only a moment from now on.
        assert_eq!(state.allowed("/b/slow", 0), (MOMENT, true));
        assert_eq!(state.allowed("/b/other", 0), (Duration::from_secs(30), false));
        let silent = WireState::new(Duration::from_secs(30), Duration::from_secs(15));
        silent.note(long_ago, "/b/slow", &failed());
        assert!(silent.given_up().is_some());
        silent.note(long_ago, "/b/slow", &Ok(http::Response::new(String::new().into())));
        assert_eq!(silent.given_up(), None);
        assert_eq!(silent.allowed("/b/slow", 0), (Duration::from_secs(30), false));
    }
}
