//! What a gateway answers by itself: the files of a folder, and texts from the price file.

use std::io;
use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use farthing_net::http::problem::Problem;
use http_body_util::BodyExt;
use tower_http::services::ServeFile;

use crate::book::ANSWER_BYTES_MAX;
use crate::prices::plain;

/// What a path stands for that ends with a slash.
const INDEX: &str = "index.html";

/// A folder whose files are given out: none that is hidden, and none from elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// Without links.
    root: PathBuf,
}

/// Why a folder is not served.
#[derive(Debug, thiserror::Error)]
#[error("the folder {} cannot be served: {why}", path.display())]
pub struct BadFolder {
    path: PathBuf,
    why: io::Error,
}

impl Folder {
    /// The folder at that path, which must be there.
    pub(crate) fn open(path: &Path) -> Result<Self, BadFolder> {
        let bad = |why| BadFolder { path: path.to_owned(), why };
        let root = path.canonicalize().map_err(bad)?;
        if root.is_dir() { Ok(Self { root }) } else { Err(bad(io::ErrorKind::NotADirectory.into())) }
    }

    /// Answers a request for a file: all of it or a range, with its type. What may not be seen is
    /// not there.
    pub(crate) async fn answer(&self, parts: Parts) -> io::Result<Response<Body>> {
        let Some(file) = self.find(parts.uri.path()).await else {
            return Ok(not_here("no such file"));
        };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = parts.method;
        *request.headers_mut() = parts.headers;
        let answer = ServeFile::new(file).try_call(request).await?;
        let mut answer = answer.map(Body::new);
        answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if length(answer.headers()).is_some_and(|length| length <= ANSWER_BYTES_MAX) {
            // Now it has a length that its receipt can go before.
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            return Ok(Response::from_parts(head, Body::from(body)));
        }
        Ok(answer)
    }

    /// The file that a path means. Links are followed as long as they stay in the folder.
    async fn find(&self, path: &str) -> Option<PathBuf> {
        let path = plain(path).ok()?;
        if path.split('/').any(|segment| segment.starts_with('.')) {
            return None;
        }
        let mut file = self.root.join(path.trim_start_matches('/'));
        if path.ends_with('/') {
            file.push(INDEX);
        }
        let file = tokio::fs::canonicalize(file).await.ok()?;
        let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
        if file.strip_prefix(&self.root).ok()?.components().any(is_hidden) {
            return None;
        }
        // What is neither file nor folder, such as a pipe, might never answer.
        tokio::fs::metadata(&file).await.ok()?.is_file().then_some(file)
    }
}

/// An answer with a text of the price file.
pub(crate) fn fixed(method: &Method, text: Bytes) -> Response<Body> {
    let length = text.len();
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(text) };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    (headers, body).into_response()
}

/// Nothing is found at an address.
pub(crate) fn not_here(why: &str) -> Response<Body> {
    Problem::of_http(StatusCode::NOT_FOUND, why).into_response()
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn gateway_gives_out_no_hidden_file_and_none_outside_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("files");
        std::fs::create_dir_all(root.join("below/.git")).unwrap();
        for file in ["files/a", "files/.env", "files/below/index.html", "files/below/.git/config", "secret"] {
            std::fs::write(home.path().join(file), file).unwrap();
        }
        symlink(home.path().join("secret"), root.join("out")).unwrap();
        symlink(home.path(), root.join("up")).unwrap();
        symlink(root.join(".env"), root.join("env")).unwrap();
        symlink(root.join("a"), root.join("link")).unwrap();
        let folder = Folder::open(&root).unwrap();
        for seen in ["/a", "//a", "/%61", "/link", "/below/", "/below/index.html"] {
            assert!(folder.find(seen).await.is_some(), "{seen}");
        }
        let unseen = ["/", "/b", "/.env", "/env", "/out", "/up/secret", "/below", "/below/.git/config"];
        let odd = ["/../secret", "/%2e%2e/secret", "/%2eenv", "/a/", "/a%00", "/a/../.env", "secret", ""];
        for unseen in unseen.into_iter().chain(odd) {
            assert_eq!(folder.find(unseen).await, None, "{unseen}");
        }
        assert!(Folder::open(&root.join("a")).is_err() && Folder::open(&root.join("b")).is_err());
    }
}
