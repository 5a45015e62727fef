//! A limit for each handshake (TCP and TLS, to one address), the report which address failed, and whose connection a
//! request went over.
//!
//! A connection that a request did not make itself came out of the pool, so the store may have closed it meanwhile
//! (section 3, row 1). A request may make one and yet go over another that became idle first: only addresses tell.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection, HttpInfo};
use tower_layer::Layer;
use tower_service::Service;

use super::BoxError;
use super::addresses::{AddressBook, CHOSEN};

tokio::task_local! {
    /// Our end of the connection that the request of this task has made, if it has made one.
    static MADE: Cell<Option<SocketAddr>>;
}

/// What became of a request, and our end of the connection it made.
pub(in crate::s3) async fn watched<T>(sending: impl Future<Output = T>) -> (T, Option<SocketAddr>) {
    MADE.scope(Cell::new(None), async { (sending.await, MADE.with(Cell::get)) }).await
}

/// Our end of a connection.
pub(in crate::s3) fn local_address(connection: &Connected) -> Option<SocketAddr> {
    let mut extensions = http::Extensions::new();
    connection.get_extras(&mut extensions);
    extensions.get::<HttpInfo>().map(HttpInfo::local_addr)
}

#[derive(Clone)]
pub(super) struct ConnectLimit {
    /// Zero where the host is an address already.
    pub dns: Duration,
    pub connect: Duration,
    pub book: Arc<AddressBook>,
}

#[derive(Debug)]
pub(in crate::s3) struct ConnectTimedOut(Duration);

impl std::fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no connection within {:?}", self.0)
    }
}

impl std::error::Error for ConnectTimedOut {}

impl<S> Layer<S> for ConnectLimit {
    type Service = LimitedConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitedConnector { inner, limit: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct LimitedConnector<S> {
    inner: S,
    limit: ConnectLimit,
}

impl<S, R> Service<R> for LimitedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Connection + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let connecting = self.inner.call(destination);
        Box::pin(CHOSEN.scope(Cell::new(None), connect(connecting, self.limit.clone())))
    }
}

async fn connect<T: Connection>(
    connecting: impl Future<Output = Result<T, BoxError>>,
    limit: ConnectLimit,
) -> Result<T, BoxError> {
    let mut connecting = pin!(connecting);
    let mut clock = pin!(tokio::time::sleep(limit.dns + limit.connect));
    let mut resolved = false;
    let outcome = poll_fn(|context| {
        if let Poll::Ready(done) = connecting.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        // Once the name is resolved, only the handshake's own time is left.
        if !resolved && CHOSEN.with(Cell::get).is_some() {
            resolved = true;
            clock.as_mut().reset(tokio::time::Instant::now() + limit.connect);
        }
        clock.as_mut().poll(context).map(|()| Err(ConnectTimedOut(limit.connect).into()))
    })
    .await;
    match &outcome {
        // Not so if the request has gone on without it, and this runs by itself.
        Ok(connection) => drop(MADE.try_with(|made| made.set(local_address(&connection.connected())))),
        // Without a descriptor nothing was tried there.
        Err(error) if super::lacks_descriptors(error.as_ref()) => {}
        Err(_) => CHOSEN.with(Cell::get).into_iter().for_each(|address| limit.book.leave_out(address)),
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::addresses::tests::{address, book};
    use super::*;

    struct Never;

    impl Connection for Never {
        fn connected(&self) -> Connected {
            Connected::new()
        }
    }

    async fn outcome_of(outcome: Option<BoxError>, book: &Arc<AddressBook>) -> BoxError {
        let limit = ConnectLimit { dns: Duration::from_secs(5), connect: Duration::from_secs(3), book: book.clone() };
        let connecting = async {
            CHOSEN.with(|chosen| chosen.set(Some(address("127.0.0.2"))));
            match outcome {
                Some(error) => Err::<Never, BoxError>(error),
                None => std::future::pending().await,
            }
        };
        CHOSEN.scope(Cell::new(None), connect(connecting, limit)).await.err().unwrap()
    }

    async fn turns(book: &Arc<AddressBook>) -> Vec<String> {
        let mut turns = Vec::new();
        for _ in 0..2 {
            turns.push(book.look_up("store").await.unwrap().to_string());
        }
        turns
    }

    /// #15, #16
    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_a_limit_and_a_bad_address_is_remembered() {
        let (book, _) = book(&["127.0.0.2", "127.0.0.3"]);
        let book = Arc::new(book);
        let started = tokio::time::Instant::now();
        assert!(outcome_of(None, &book).await.is::<ConnectTimedOut>());
        assert!(started.elapsed() < Duration::from_secs(4), "the name was resolved: only the handshake's time is left");
        assert_eq!(turns(&book).await, ["127.0.0.3", "127.0.0.3"]);
    }

    /// #70
    #[tokio::test]
    async fn no_address_is_blamed_for_a_lack_of_descriptors() {
        let (book, _) = book(&["127.0.0.2", "127.0.0.3"]);
        let book = Arc::new(book);
        outcome_of(Some(std::io::Error::from_raw_os_error(24).into()), &book).await;
        assert_eq!(turns(&book).await, ["127.0.0.2", "127.0.0.3"]);
        outcome_of(Some(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()), &book).await;
        assert_eq!(turns(&book).await, ["127.0.0.3", "127.0.0.3"]);
    }
}
