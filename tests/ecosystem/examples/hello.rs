//! A web server with hyper: HTTP/1.1 and HTTP/2 on one port, with or without TLS.
//!
//! What it shows: crates for `async` code that take any stream and any executor need no glue.
//! hyper-util finds out which HTTP a client speaks, and tokio-rustls does TLS over a socket of
//! rustlet; neither needs a runtime of tokio. A green thread runs each connection, and one each
//! request of HTTP/2.
//!
//! ```sh
//! cargo run --example hello -- 127.0.0.1:8080
//! curl --http2-prior-knowledge http://127.0.0.1:8080/ -d 'some text'
//! h2load -n 10000 -c 10 -m 10 http://127.0.0.1:8080/
//! ```

mod serving;
#[path = "../../../examples/support/mod.rs"]
mod support;

use support::{Args, Result};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rustlet::future::block_on;
use rustlet::net::TcpStream;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] [ADDRESS]

Says hello over HTTP/1.1 and HTTP/2, until Ctrl-C. It sends a body that it receives back.

ADDRESS              where to listen (default 127.0.0.1:8080; port 0: the system chooses)
--cert FILE          with TLS: a PEM file with the server's certificates
--key FILE           with TLS: a PEM file with its private key
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

/// The length of the longest body, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let tls = acceptor(args)?;
        let address = args.word_or("127.0.0.1:8080")?;
        args.end()?;
        runtime.build()?.run(|| {
            serving::serve(&address, move |stream| {
                if let Err(error) = converse(stream, tls.as_ref()) {
                    eprintln!("{error}");
                }
            })
        })
    })
}

/// Returns what accepts TLS, if the options ask for it.
fn acceptor(args: &mut Args) -> Result<Option<TlsAcceptor>> {
    let (Some(chain), Some(key)) = (args.value("--cert")?, args.value("--key")?) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config).into()))
}

/// Serves one connection.
fn converse(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut server = auto::Builder::new(rustlet::hyper::Executor);
    server
        .http1()
        .timer(rustlet::hyper::Timer)
        .header_read_timeout(Duration::from_secs(30));
    match tls {
        Some(tls) => {
            let stream = rustlet::timeout(Duration::from_secs(10), || block_on(tls.accept(stream)));
            block_on(server.serve_connection(TokioIo::new(stream??), service_fn(hello)))
        }
        None => block_on(server.serve_connection(stream, service_fn(hello))),
    }
}

async fn hello(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from("hello\n"));
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            if !body.is_empty() {
                *response.body_mut() = Full::new(body);
            }
        }
        Err(_) => *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE,
    }
    Ok(response)
}
