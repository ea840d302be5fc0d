//! An authorization server that has only metadata and keys, and the program that accepts its tokens.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rejoin_test_support::Program;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::signer::{AUDIENCE, SCOPE};

pub(crate) const PUBLIC_URL: &str = "https://mcp.example.com";

/// A running issuer.
pub(crate) struct Issuer {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    acceptor: JoinHandle<()>,
}

struct State {
    keys: Vec<Value>,
    is_down: bool,
    /// Whether the keys have another URL, to which theirs redirects.
    redirects: bool,
    /// The name of the issuer in its metadata.
    name: String,
    metadata_path: &'static str,
    /// The paths that were requested.
    requests: Vec<String>,
}

impl Issuer {
    pub(crate) async fn start(keys: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tenant", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            keys,
            is_down: false,
            redirects: false,
            name: url.clone(),
            metadata_path: "/.well-known/oauth-authorization-server/tenant",
            requests: Vec::new(),
        }));
        let (served, issuer) = (Arc::clone(&state), url.clone());
        let acceptor = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, issuer) = (Arc::clone(&served), issuer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = state.lock().respond(request.uri().path(), &issuer);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { url, state, acceptor }
    }

    pub(crate) fn set_keys(&self, keys: Vec<Value>) {
        self.state.lock().keys = keys;
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state.lock().is_down = is_down;
    }

    pub(crate) fn redirect(&self) {
        self.state.lock().redirects = true;
    }

    pub(crate) fn set_name(&self, name: &str) {
        name.clone_into(&mut self.state.lock().name);
    }

    pub(crate) fn set_metadata_path(&self, path: &'static str) {
        self.state.lock().metadata_path = path;
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().requests.clone()
    }

    /// Starts the program, which soon fetches keys again when one is unknown.
    pub(crate) fn program(&self, options: &[&str]) -> Program {
        let fetching = ["--auth-jwks-interval", "1s"];
        let options = self.options().into_iter().chain(fetching).chain(options.iter().copied());
        Program::serve(&options.collect::<Vec<_>>())
    }

    /// Returns the options of a program that accepts tokens.
    pub(crate) fn options(&self) -> Vec<&str> {
        vec![
            "--auth-issuer",
            &self.url,
            "--auth-audience",
            AUDIENCE,
            "--auth-scopes",
            SCOPE,
            "--public-url",
            PUBLIC_URL,
            "--auth-leeway",
            "0s",
        ]
    }
}

impl State {
    fn respond(&mut self, path: &str, issuer: &str) -> Response<Full<Bytes>> {
        self.requests.push(path.to_owned());
        let body = match path {
            _ if self.is_down => None,
            path if path == self.metadata_path => {
                Some(json!({ "issuer": self.name, "jwks_uri": format!("{issuer}/keys") }))
            }
            "/tenant/keys" if self.redirects => None,
            "/tenant/keys" | "/tenant/moved" => Some(json!({ "keys": self.keys })),
            _ => None,
        };
        let mut response = Response::new(body.clone().unwrap_or_default().to_string().into());
        if body.is_none() {
            let is_moved = self.redirects && path == "/tenant/keys";
            *response.status_mut() =
                if is_moved { StatusCode::FOUND } else { StatusCode::NOT_FOUND };
            response.headers_mut().insert("location", "/tenant/moved".parse().unwrap());
        }
        response
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
