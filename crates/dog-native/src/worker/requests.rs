//! [`Requests`]: requests from outside, and the App that answers them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dog::http::{HeaderValue, StatusCode, header};
use dog::internal::LocalFuture;
use dog::{Request, Response};
use tracing::{Span, info_span};

use crate::metrics::counters::Counters;

/// The user's App as a function.
pub(crate) type AnswerRequest = Rc<dyn Fn(Request) -> LocalFuture<Response>>;

/// The App as one worker runs it.
pub(crate) struct Requests {
    app: RefCell<Option<AnswerRequest>>,
    counters: Rc<Counters>,
    /// The number of the next request. Each worker counts in steps of `workers`, so that no two requests of the process
    /// have the same number.
    next: Cell<u64>,
    workers: u64,
}

impl Requests {
    pub(super) fn new(index: usize, workers: usize, counters: Rc<Counters>) -> Self {
        Self { app: RefCell::default(), counters, next: Cell::new(index as u64), workers: workers as u64 }
    }

    pub(crate) fn set_app(&self, app: AnswerRequest) {
        self.app.replace(Some(app));
    }

    pub(super) fn remove_app(&self) -> Option<AnswerRequest> {
        self.app.take()
    }

    /// Answers a request, or refuses it if the server no longer accepts requests.
    pub(super) async fn answer(&self, request: Request, accepts: bool) -> Response {
        let app = self.app.borrow().clone().filter(|_| accepts);
        let response = match app {
            Some(app) => app(request).await,
            None => restarting(),
        };
        self.counters.requests.one();
        self.counters.requests_too_many.add(usize::from(response.status() == StatusCode::TOO_MANY_REQUESTS));
        self.counters.requests_failed.add(usize::from(response.status().is_server_error()));
        response
    }

    /// Counts a request that is refused before the App has it.
    pub(super) fn refused(&self, refusal: Response) -> Response {
        self.counters.requests.one();
        self.counters.requests_too_many.one();
        refusal
    }

    /// Returns the span of a request. It contains the path but not the query, because queries can contain secrets.
    pub(crate) fn span(&self, request: &Request) -> Span {
        if tracing::level_filters::LevelFilter::current() < tracing::Level::INFO {
            return Span::none();
        }
        let number = self.next.replace(self.next.get() + self.workers);
        info_span!("request", number, method = %request.method(), path = request.uri().path())
    }
}

/// Returns the response to a request that arrives during the shutdown.
fn restarting() -> Response {
    let mut response = dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "the server restarts");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
