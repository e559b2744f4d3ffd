//! Serves a router on a listener: bounded connections, bounded time for the head of a request, and an end in two steps
//! that loses no request. First each answer says that its connection ends with it, so that clients move elsewhere by
//! themselves; then no more connections are taken, and requests in work may end. Closed at once, a connection that a
//! client keeps might go just when it sends its next request, which few clients dare to send again.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Bounds of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBounds {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// How long the head of a request may take, and how long a connection may stand idle.
    pub head_time: Duration,
    /// How long a client may leave sent bytes unread before the kernel closes the connection.
    pub unread_time: Duration,
    /// How long requests in work may take once the shutdown has begun.
    pub drain_time: Duration,
}

impl Default for ServerBounds {
    fn default() -> Self {
        Self {
            connections: 4_096,
            head_time: Duration::from_secs(10),
            unread_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(25),
        }
    }
}

/// The most headers of one request.
const MAX_HEADERS: usize = 100;

/// The most bytes of the head of one request.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long to wait after the kernel could not give a connection, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done, then until the connections are idle or the drain time is over. Once `draining` is
/// cancelled, connections end with their next answer.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: ServerBounds,
    draining: CancellationToken,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let stop = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places, bounds.unread_time) => accepted,
            // Finished connections are let go of as they finish.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, place)) => {
                let end = End { draining: draining.clone(), stop: stop.clone() };
                let connection = connection(stream, router.clone(), bounds.head_time, end);
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stop.cancel();
    let all_ended =
        timeout(bounds.drain_time, async { while connections.join_next().await.is_some() {} }).await;
    if all_ended.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off by the shutdown");
    }
    connections.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    unread_time: Duration,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and complete; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    // A client that stops reading, or is gone without a word, does not hold its place for ever.
    SockRef::from(&stream).set_tcp_user_timeout(Some(unread_time))?;
    Ok((stream, place))
}

/// How a connection learns that it is to end.
struct End {
    /// With the next answer.
    draining: CancellationToken,
    /// As soon as no request is in work.
    stop: CancellationToken,
}

async fn connection(stream: TcpStream, router: Router, head_time: Duration, end: End) {
    let End { draining, stop } = end;
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let (mut router, draining) = (router.clone(), draining.clone());
        async move {
            let mut response = answer(&mut router, request).await;
            if draining.is_cancelled() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        // A client that goes away is its own affair.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(router: &mut Router, request: hyper::Request<Incoming>) -> axum::response::Response {
    match router.call(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    struct Running {
        address: std::net::SocketAddr,
        draining: CancellationToken,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(router: Router, bounds: ServerBounds) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let draining = CancellationToken::new();
        let drains = draining.clone();
        let task = tokio::spawn(async move {
            serve(listener, router, bounds, drains, async { drop(stopped.await) }).await;
        });
        Running { address, draining, stop, task }
    }

    fn router() -> Router {
        Router::new().route("/", get(|| async { "hello" })).route(
            "/slow",
            get(|| async {
                sleep(Duration::from_millis(300)).await;
                "done"
            }),
        )
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
    }

    /// Row 39.
    #[tokio::test]
    async fn row_39_a_head_that_never_ends_is_cut_off_while_others_are_served() {
        let bounds = ServerBounds { head_time: Duration::from_millis(200), ..ServerBounds::default() };
        let running = start(router(), bounds).await;
        let mut silent = TcpStream::connect(running.address).await.unwrap();
        let mut trickling = TcpStream::connect(running.address).await.unwrap();
        trickling.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        let mut honest = TcpStream::connect(running.address).await.unwrap();
        ask(&mut honest, "/").await;
        let mut head = [0; 15];
        honest.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        for stream in [&mut silent, &mut trickling] {
            let mut rest = Vec::new();
            let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "the connection is still open");
        }
        running.stop.send(()).unwrap();
        running.task.await.unwrap();
    }

    #[tokio::test]
    async fn connections_over_the_bound_wait_for_a_place() {
        let bounds = ServerBounds { connections: 1, ..ServerBounds::default() };
        let running = start(router(), bounds).await;
        let mut first = TcpStream::connect(running.address).await.unwrap();
        ask(&mut first, "/").await;
        let mut byte = [0];
        first.read_exact(&mut byte).await.unwrap();
        let mut second = TcpStream::connect(running.address).await.unwrap();
        ask(&mut second, "/").await;
        assert!(timeout(Duration::from_millis(200), second.read_exact(&mut byte)).await.is_err());
        drop(first);
        timeout(Duration::from_secs(5), second.read_exact(&mut byte)).await.unwrap().unwrap();
        running.stop.send(()).unwrap();
        running.task.await.unwrap();
    }

    /// Row 39.
    #[tokio::test]
    async fn row_39_silent_connections_over_every_place_delay_the_honest_ones_only_for_a_while() {
        let head_time = Duration::from_millis(200);
        let bounds = ServerBounds { connections: 50, head_time, ..ServerBounds::default() };
        let running = start(router(), bounds).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(running.address).await.unwrap());
        }
        let mut honest = TcpStream::connect(running.address).await.unwrap();
        ask(&mut honest, "/").await;
        let mut byte = [0];
        // Two rounds of silent ones go first; the rest of the time is for a slow machine.
        timeout(Duration::from_secs(10), honest.read_exact(&mut byte)).await.unwrap().unwrap();
        running.stop.send(()).unwrap();
        running.task.await.unwrap();
    }

    /// Row 39.
    #[tokio::test]
    async fn row_39_a_client_that_stops_reading_loses_its_place() {
        let large = Router::new().route("/", get(|| async { vec![b'x'; 64 << 20] }));
        let bounds = ServerBounds {
            connections: 1,
            unread_time: Duration::from_millis(500),
            ..ServerBounds::default()
        };
        let running = start(large, bounds).await;
        let mut stalled = TcpStream::connect(running.address).await.unwrap();
        ask(&mut stalled, "/").await;
        let mut next = TcpStream::connect(running.address).await.unwrap();
        ask(&mut next, "/").await;
        let mut byte = [0];
        timeout(Duration::from_secs(20), next.read_exact(&mut byte)).await.unwrap().unwrap();
        drop((stalled, next));
        running.stop.send(()).unwrap();
        running.task.await.unwrap();
    }

    #[tokio::test]
    async fn while_draining_connections_end_with_their_next_answer_and_not_before() {
        let running = start(router(), ServerBounds::default()).await;
        let mut kept = TcpStream::connect(running.address).await.unwrap();
        let mut head = [0; 512];
        ask(&mut kept, "/").await;
        let length = kept.read(&mut head).await.unwrap();
        let answer = String::from_utf8_lossy(&head[..length]);
        assert!(answer.ends_with("hello") && !answer.contains("connection: close"), "{answer}");
        running.draining.cancel();
        // A request may be on its way now.
        assert!(timeout(Duration::from_millis(200), kept.read(&mut head)).await.is_err());
        let fresh = TcpStream::connect(running.address).await.unwrap();
        for mut stream in [kept, fresh] {
            ask(&mut stream, "/").await;
            let mut answer = String::new();
            timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
        }
        running.stop.send(()).unwrap();
        running.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_lets_the_request_in_work_end_and_closes_idle_connections() {
        let running = start(router(), ServerBounds::default()).await;
        let _idle = TcpStream::connect(running.address).await.unwrap();
        let mut working = TcpStream::connect(running.address).await.unwrap();
        ask(&mut working, "/slow").await;
        sleep(Duration::from_millis(100)).await;
        running.stop.send(()).unwrap();
        let mut answer = String::new();
        working.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_does_not_wait_for_ever() {
        let endless = Router::new().route("/", get(std::future::pending::<&'static str>));
        let bounds = ServerBounds { drain_time: Duration::from_millis(200), ..ServerBounds::default() };
        let running = start(endless, bounds).await;
        let mut waiting = TcpStream::connect(running.address).await.unwrap();
        ask(&mut waiting, "/").await;
        sleep(Duration::from_millis(50)).await;
        running.stop.send(()).unwrap();
        timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
    }
}
