use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use farthing_net::http::client::{Trust, tls};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

/// A service that answers each request alike, and hangs up after so many on a connection.
struct Service {
    connections: AtomicUsize,
    hung_up: Notify,
}

async fn service(answer: &'static str, each: usize) -> (Lines, Arc<Service>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let here = Arc::new(Service { connections: AtomicUsize::new(0), hung_up: Notify::new() });
    let service = Arc::clone(&here);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            service.connections.fetch_add(1, Ordering::SeqCst);
            for _ in 0..each {
                if respond(&mut socket, answer).await.is_err() {
                    break;
                }
            }
            drop(socket);
            service.hung_up.notify_one();
        }
    });
    let connector = HttpsConnector::from((HttpConnector::new(), tls(Trust::Nobody).unwrap()));
    (Lines::to(at, connector), here)
}

async fn respond(socket: &mut TcpStream, answer: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await?);
    }
    socket.write_all(answer.as_bytes()).await
}

async fn ask(lines: &Lines) -> Response<Body> {
    let mut request = Request::new(Full::default());
    while let Some(line) = lines.idle() {
        match lines.exchange(line, request).await {
            Ok(answer) => return answer,
            Err(unsent) => request = unsent.request.expect("nothing was sent on a closed connection"),
        }
    }
    let line = lines.open().await.unwrap();
    lines.exchange(line, request).await.unwrap_or_else(|unsent| panic!("{}", unsent.why))
}

async fn read(lines: &Lines) {
    let answer = ask(lines).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let (lines, service) = service(answer, usize::MAX).await;
        for _ in 0..10 {
            read(&lines).await;
        }
        assert_eq!(service.connections.load(Ordering::SeqCst), 1, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_was_not_read_to_its_end_is_not_taken_for_that_of_the_next_request() {
    let (lines, service) = service("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", usize::MAX).await;
    drop(ask(&lines).await);
    read(&lines).await;
    assert_eq!(service.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_a_service_says_unasked_is_not_taken_for_the_answer_to_the_next_request() {
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong";
    let (lines, service) = service(twice, usize::MAX).await;
    for asked in 1..=3 {
        read(&lines).await;
        assert_eq!(service.connections.load(Ordering::SeqCst), asked);
    }
}

#[tokio::test]
async fn a_connection_that_the_service_closed_between_requests_fails_none() {
    let (lines, service) = service("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 1).await;
    for asked in 1..=5 {
        read(&lines).await;
        assert_eq!(service.connections.load(Ordering::SeqCst), asked);
        service.hung_up.notified().await;
        // The runtime looks what has arrived.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_kept_for_too_long_is_closed() {
    let (lines, _) = service("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", usize::MAX).await;
    read(&lines).await;
    lines.tidy();
    assert_eq!(lock(&lines.idle).len(), 1);
    if let Some((_, since)) = lock(&lines.idle).back_mut() {
        *since = Instant::now().checked_sub(IDLE_TIME).unwrap();
    }
    lines.tidy();
    assert!(lock(&lines.idle).is_empty());
}
