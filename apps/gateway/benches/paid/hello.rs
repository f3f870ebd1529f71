//! The HTTP library saying hello: an origin, and what a gateway that answers by itself is held against.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::body::Body;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) struct Hello {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Hello {
    /// On one thread of that name.
    pub(crate) fn start(name: &str) -> Self {
        let runtime = crate::place::runtime(name);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let say = service_fn(async |_| Ok::<_, Infallible>(Response::new(Body::from("hello"))));
                let connection =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), say);
                tokio::spawn(connection);
            }
        });
        Self { address, _runtime: runtime }
    }
}
