use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use farthing_core::refusal::{Code, Money};
use reqwest::{Client, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::client::{ReadError, SendError, client, read_bounded, read_problem, send_idempotent};
use super::endpoint::Endpoint;
use super::problem::{Problem, not_found};
use super::server::{BindError, Limits, Server, ServerConfig, Tls};
use super::tls::Fingerprint;
use super::{ops, tls};

const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3_600);

/// A server at work, and how to end it.
struct Running {
    at: Endpoint,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Running {
    async fn with(router: Router, tls: Tls, limits: Limits) -> Self {
        let listen = ([127, 0, 0, 1], 0).into();
        let server = Server::bind(ServerConfig { listen, tls, limits }).await.unwrap();
        let (at, address) = (server.endpoint().unwrap(), server.address());
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(server.serve(router, async { _ = stopped.await }));
        Self { at, address, stop, done }
    }

    async fn plain(router: Router, limits: Limits) -> Self {
        Self::with(router, Tls::PlainLoopbackOnly, limits).await
    }

    fn client(&self) -> Client {
        client(&self.at).unwrap()
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client().get(self.at.url(path)).send().await.unwrap()
    }

    async fn raw(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.done.await.unwrap();
    }
}

fn echo() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async { body }))
        .fallback(not_found)
}

/// A handler that tells when it has begun and ends when it is told to.
fn waiting() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go));
    let handler = move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    (echo().route("/wait", get(handler)), begun, go)
}

/// Reads to the end; a connection reset is an end too.
async fn rest(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    String::from_utf8(read).unwrap()
}

fn self_made(dir: &Path) -> Tls {
    Tls::SelfMade { dir: dir.to_owned() }
}

#[tokio::test]
async fn server_refuses_to_speak_in_the_clear_to_other_machines() {
    let listen: SocketAddr = ([0, 0, 0, 0], 0).into();
    let config = ServerConfig { listen, tls: Tls::PlainLoopbackOnly, limits: Limits::default() };
    let refused = Server::bind(config).await.err().unwrap();
    assert!(matches!(refused, BindError::PlainOffLoopback(at) if at == listen), "{refused}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = Running::plain(echo(), Limits::default()).await;
    let listen = server.address;
    let config = ServerConfig { listen, tls: Tls::PlainLoopbackOnly, limits: Limits::default() };
    let refused = Server::bind(config).await.err().unwrap();
    assert!(matches!(refused, BindError::AddressTaken(at) if at == listen), "{refused}");
}

#[tokio::test]
async fn a_self_made_certificate_is_recognised_by_its_fingerprint_and_no_other_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::with(echo(), self_made(dir.path()), Limits::default()).await;
    let answer = server.get("/").await;
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let given = Fingerprint::of_file(&dir.path().join("certificate.pem")).unwrap();
    assert_eq!(server.at.pin(), Some(given));
    let wrong = server.at.clone().pinned(Fingerprint([7; 32])).unwrap();
    let unpinned: Endpoint = server.at.to_string().split('#').next().unwrap().parse().unwrap();
    for impostor in [wrong, unpinned] {
        // Without authorities on this machine there is no client, which is a refusal as well.
        let Ok(client) = client(&impostor) else {
            continue;
        };
        let refused = send_idempotent(|| client.get(impostor.url("/"))).await;
        assert!(matches!(refused, Err(SendError::NotSent(_))), "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn given_certificates_work_over_http_1_too() {
    let dir = tempfile::tempdir().unwrap();
    tls::self_made(dir.path(), [127, 0, 0, 1].into()).unwrap();
    let both = dir.path().join("tls.pem");
    let tls = Tls::Files { cert: both.clone(), key: both };
    let server = Running::with(echo(), tls, Limits::default()).await;
    let request = server.client().get(server.at.url("/")).version(Version::HTTP_11);
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "hello");
}

#[tokio::test]
async fn server_refuses_bodies_too_large_told_or_untold_and_compressed_ones() {
    let limits = Limits { body_bytes: 1_000, ..Limits::default() };
    let server = Running::plain(echo(), limits).await;
    let send = || server.client().post(server.at.url("/echo"));
    let good = send().body(vec![1; 1_000]).send().await.unwrap();
    assert_eq!(good.bytes().await.unwrap().len(), 1_000);
    let told = send().body(vec![1; 1_001]).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let drops = (0..11).map(|_| Ok::<_, std::io::Error>(vec![1; 100]));
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(drops));
    let untold = send().body(stream).send().await.unwrap();
    let problem = read_problem(untold).await.unwrap();
    assert_eq!((problem.status, problem.money), (413, Money::Unmoved));
    let packed = send().header("content-encoding", "gzip").body("x").send().await.unwrap();
    assert_eq!(packed.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn server_refuses_too_many_headers_and_too_long_ones() {
    let server = Running::plain(echo(), Limits::default()).await;
    let many: String = (0..65).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(17 << 10));
    for headers in [many, long] {
        let stream = server.raw(&format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).await;
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_panicking_handler_answers_with_a_problem_and_the_server_goes_on() {
    let bug = get(|| async {
        if true {
            panic!("SECRET")
        }
    });
    let server = Running::plain(echo().route("/bug", bug), Limits::default()).await;
    let answer = server.get("/bug").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let problem = read_problem(answer).await.unwrap();
    assert_eq!(problem.money, Money::Unknown);
    assert!(!problem.detail.contains("SECRET"));
    assert_eq!(server.get("/").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn server_turns_requests_away_early_while_all_seats_are_taken() {
    let (router, begun, go) = waiting();
    let limits = Limits { requests_per_address: 1, ..Limits::default() };
    let server = Running::plain(router, limits).await;
    let first = tokio::spawn(server.client().get(server.at.url("/wait")).send());
    begun.notified().await;
    let refused = server.get("/").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem = read_problem(refused).await.unwrap();
    assert_eq!((problem.retry_after, problem.code), (Some(1), Some(Code::Rate)));
    assert_eq!(problem.money, Money::Unmoved);
    go.notify_one();
    assert_eq!(first.await.unwrap().unwrap().text().await.unwrap(), "done");
    assert_eq!(server.get("/").await.status(), StatusCode::OK, "and recovers by itself");
}

#[tokio::test]
async fn server_slows_down_an_address_that_asks_too_fast() {
    let limits = Limits {
        rate_per_address: NonZeroU32::MIN,
        burst_per_address: NonZeroU32::new(2).unwrap(),
        ..Limits::default()
    };
    let server = Running::plain(echo(), limits).await;
    assert_eq!(server.get("/").await.status(), StatusCode::OK);
    assert_eq!(server.get("/").await.status(), StatusCode::OK);
    let refused = server.get("/").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(read_problem(refused).await.unwrap().retry_after.is_some());
}

#[tokio::test]
async fn server_hangs_up_on_those_who_connect_and_dawdle() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { header_time: SHORT, tls_time: SHORT, ..Limits::default() };
    let plain = Running::plain(echo(), limits).await;
    let secure = Running::with(echo(), self_made(dir.path()), limits).await;
    for said in ["", "PRI * HTTP/2.0\r\n\r\nSM", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HT"] {
        let answer = rest(plain.raw(said).await).await;
        assert!(!answer.contains("hello"), "{said}: {answer}");
    }
    assert_eq!(rest(secure.raw("").await).await, "");
}

#[tokio::test]
async fn server_hangs_up_on_an_idle_connection() {
    let limits = Limits { idle_time: SHORT, header_time: SHORT, ..Limits::default() };
    let server = Running::plain(echo(), limits).await;
    let answer = rest(server.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

/// An answer in parts, each a while after the last one: longer in all than a connection may idle.
fn slowly() -> axum::body::Body {
    axum::body::Body::from_stream(futures::stream::unfold(0, |part| async move {
        tokio::time::sleep(SHORT).await;
        (part < 8).then_some((Ok::<_, std::io::Error>("part "), part + 1))
    }))
}

#[tokio::test]
async fn an_answer_that_takes_its_time_is_not_an_idle_connection() {
    let limits = Limits { idle_time: SHORT, header_time: SHORT, ..Limits::default() };
    let server = Running::plain(echo().route("/slowly", get(async || slowly())), limits).await;
    assert_eq!(server.get("/slowly").await.text().await.unwrap(), "part ".repeat(8));
}

#[tokio::test]
async fn server_hangs_up_on_those_who_do_not_read_their_answer() {
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let endless = move || {
        let alive = alive.clone();
        let parts = futures::stream::repeat_with(move || {
            let _ = &alive;
            Ok::<_, std::io::Error>(vec![0; 64 << 10])
        });
        async { axum::body::Body::from_stream(parts) }
    };
    let limits = Limits { idle_time: SHORT, header_time: SHORT, drain_time: HOUR, ..Limits::default() };
    let server = Running::plain(Router::new().route("/", get(endless)), limits).await;
    let mut unread = server.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    unread.read_exact(&mut [0; 12]).await.unwrap();
    server.stop.send(()).unwrap();
    // The answer is dropped with the connection, and the router with the server.
    assert_eq!(gone.recv().await, None);
    drop(unread);
}

#[tokio::test]
async fn bodies_on_many_connections_share_one_bound() {
    let limits = Limits { body_bytes: 1_000, all_body_bytes: 1_500, body_time: HOUR, ..Limits::default() };
    let server = Running::plain(echo(), limits).await;
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n";
    // Announced, and not sent: that takes no room.
    let silent = server.raw(head).await;
    let mut begun = server.raw(&format!("{head}{}", "a".repeat(900))).await;
    let send = async || server.client().post(server.at.url("/echo")).body(vec![1; 1_000]).send().await.unwrap();
    while send().await.status() == StatusCode::OK {
        // Until the server has read what was begun.
        tokio::task::yield_now().await;
    }
    let problem = read_problem(send().await).await.unwrap();
    assert_eq!((problem.status, problem.money, problem.retry_after), (503, Money::Unmoved, Some(1)));
    begun.write_all(&[b'a'; 100]).await.unwrap();
    assert!(rest(begun).await.starts_with("HTTP/1.1 200"));
    while send().await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    drop(silent);
}

#[tokio::test]
async fn server_refuses_a_body_that_never_ends() {
    let limits = Limits { body_time: SHORT, ..Limits::default() };
    let server = Running::plain(echo(), limits).await;
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    let answer = rest(server.raw(head).await).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_leaves_the_outcome_open() {
    let (router, ..) = waiting();
    let limits = Limits { request_time: SHORT, ..Limits::default() };
    let server = Running::plain(router, limits).await;
    let problem = read_problem(server.get("/wait").await).await.unwrap();
    assert_eq!((problem.status, problem.money), (503, Money::Unknown));
}

#[tokio::test]
async fn server_takes_no_more_connections_from_one_address_than_its_share() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let server = Running::plain(echo(), limits).await;
    let mut first = server.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    first.read_exact(&mut [0; 12]).await.unwrap();
    assert_eq!(rest(server.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await, "");
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_began_and_waits_for_no_idle_connection() {
    let (router, begun, go) = waiting();
    // Only the stop itself can end the idle connection.
    let limits = Limits { header_time: HOUR, idle_time: HOUR, drain_time: HOUR, ..Limits::default() };
    let server = Running::plain(router, limits).await;
    let mut idle = server.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.read_exact(&mut [0; 12]).await.unwrap();
    let running = server.raw("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    begun.notified().await;
    let address = server.address;
    let stopped = tokio::spawn(server.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    stopped.await.unwrap();
    assert!(rest(running).await.ends_with("done"));
    drop(idle);
}

#[tokio::test]
async fn a_stopping_server_breaks_off_what_does_not_end() {
    let (router, begun, _go) = waiting();
    let limits = Limits { request_time: HOUR, drain_time: SHORT, ..Limits::default() };
    let server = Running::plain(router, limits).await;
    let running = server.raw("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    begun.notified().await;
    server.stop().await;
    assert_eq!(rest(running).await, "");
}

#[tokio::test]
async fn requests_keep_a_fitting_id_and_get_one_otherwise() {
    let server = Running::plain(echo(), Limits::default()).await;
    let ask = |id: String| server.client().get(server.at.url("/")).header("x-request-id", id);
    let kept = ask("order-7".into()).send().await.unwrap();
    assert_eq!(kept.headers()["x-request-id"], "order-7");
    for unfit in ["a b".to_owned(), "x".repeat(65), "<script>".to_owned()] {
        let made = ask(unfit.clone()).send().await.unwrap();
        assert_ne!(made.headers()["x-request-id"], unfit);
    }
}

#[tokio::test]
async fn refusals_of_the_framework_are_problems_too() {
    let server = Running::plain(echo(), Limits::default()).await;
    let wrong_method = read_problem(server.get("/echo").await).await.unwrap();
    assert_eq!((wrong_method.status, wrong_method.code), (405, None));
    let nowhere = server.get("/nowhere").await;
    assert_eq!(nowhere.headers()["content-type"], "application/problem+json");
    assert_eq!(nowhere.headers()["cache-control"], "no-store");
    assert_eq!(read_problem(nowhere).await.unwrap().status, 404);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_told_by_several_servers_in_one_process() {
    let fine = Running::plain(ops::router(|| Ok(())), Limits::default()).await;
    let ill = ops::router(|| Err("the store is closed".into()));
    let ill = Running::plain(ill, Limits::default()).await;
    assert_eq!(fine.get("/healthz").await.status(), StatusCode::OK);
    assert_eq!(fine.get("/readyz").await.status(), StatusCode::OK);
    assert_eq!(ill.get("/healthz").await.status(), StatusCode::OK);
    let problem = read_problem(ill.get("/readyz").await).await.unwrap();
    assert_eq!((problem.status, &problem.detail[..]), (503, "the store is closed"));
    for server in [fine, ill] {
        let metrics = server.get("/metrics").await.text().await.unwrap();
        assert!(metrics.contains("farthing_http_requests_total{route=\"/readyz\",status=\"200\"}"));
    }
}

#[tokio::test]
async fn client_reads_no_more_than_it_can_use() {
    let long = get(|| async { vec![b'x'; 10_000] });
    let server = Running::plain(echo().route("/long", long), Limits::default()).await;
    assert_eq!(read_bounded(server.get("/long").await, 10_000).await.unwrap().len(), 10_000);
    let refused = read_bounded(server.get("/long").await, 9_999).await;
    assert!(matches!(refused, Err(ReadError::TooLong { max: 9_999 })));
}

#[tokio::test]
async fn client_follows_no_redirect() {
    let away = get(|| async { axum::response::Redirect::temporary("/") });
    let server = Running::plain(echo().route("/away", away), Limits::default()).await;
    assert_eq!(server.get("/away").await.status(), StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn client_tells_what_was_not_sent_from_what_may_have_been() {
    // Takes requests and hangs up: whether it acted, nobody knows.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: Endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let silent = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1_000]).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client = client(&at).unwrap();
    let lost = send_idempotent(|| client.get(at.url("/"))).await;
    assert!(matches!(lost, Err(SendError::OutcomeUnknown(_))), "{lost:?}");
    assert_eq!(taken.load(Ordering::Relaxed), super::client::SEND_TRIES);
    silent.abort();
    assert!(silent.await.is_err());
    let unreachable = send_idempotent(|| client.get(at.url("/"))).await;
    assert!(matches!(unreachable, Err(SendError::NotSent(_))), "{unreachable:?}");
}

#[tokio::test]
async fn client_comes_again_when_the_server_is_busy_and_gives_up_when_told_to_wait_long() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let busy_twice = get(move || async move {
        match count.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 0, "busy")),
            _ => Ok("served"),
        }
    });
    let long = get(|| async { Problem::overload(StatusCode::TOO_MANY_REQUESTS, 3_600, "later") });
    let router = Router::new().route("/busy", busy_twice).route("/long", long);
    let server = Running::plain(router, Limits::default()).await;
    let client = server.client();
    let served = send_idempotent(|| client.get(server.at.url("/busy"))).await.unwrap();
    assert_eq!(served.text().await.unwrap(), "served");
    let told = send_idempotent(|| client.get(server.at.url("/long"))).await.unwrap();
    assert_eq!(read_problem(told).await.unwrap().retry_after, Some(3_600));
}
