//! What is measured, on rustlet: blocking code where the crate allows it.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use rustlet::net::{Server, TcpStream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_postgres::config::Host;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};
use tungstenite::Message;

use crate::support::{Result, failure};
use crate::{ANSWER, CLIENTS, Queries, own_cpu_time};

fn one_worker() -> Result<rustlet::Runtime> {
    Ok(rustlet::Builder::new().workers(1).build()?)
}

pub(crate) fn serve(row: &str, tls: Option<(String, String)>) -> Result {
    let tls = match tls {
        Some((cert, key)) => Some(config(&cert, &key)?),
        None => None,
    };
    one_worker()?.run(|| {
        let server = Server::bind("127.0.0.1:0")?;
        println!("listening on {}", server.local_addr()?);
        match (row, tls) {
            ("rustls", Some(config)) => server.serve(move |stream| {
                // A connection that breaks ends.
                drop(answer(stream, &config));
            }),
            ("tungstenite", _) => server.serve(|stream| {
                drop(echo(stream));
            }),
            _ => server.serve(|stream| {
                drop(stream.set_nodelay(true));
                let http = hyper::server::conn::http1::Builder::new();
                drop(rustlet::block_on(
                    http.serve_connection(stream, service_fn(hello)),
                ));
            }),
        }?;
        Ok(())
    })
}

pub(crate) async fn hello(
    _: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello\n")))
}

pub(crate) fn config(cert: &str, key: &str) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<std::result::Result<_, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(
        chain,
        PrivateKeyDer::from_pem_file(key)?,
    )?))
}

/// Answers each request, which has no body.
fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let (mut head, mut length) = ([0; 4096], 0);
    loop {
        match stream.read(&mut head[length..])? {
            0 => return Ok(()),
            count => length += count,
        }
        if head[..length].ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER)?;
            stream.flush()?;
            length = 0;
        }
    }
}

fn echo(stream: TcpStream) -> std::result::Result<(), Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream)?;
    loop {
        let message = socket.read()?;
        if message.is_text() || message.is_binary() {
            socket.send(message)?;
        }
    }
}

/// The load for WebSocket: each connection sends a message and waits for it, again and again.
/// Returns how many came back.
pub(crate) fn talk(address: &str, connections: u32, time: Duration) -> Result<u64> {
    let answers = AtomicU64::new(0);
    let until = Instant::now() + time;
    let client = || -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)?;
        let message = Message::text("x".repeat(64));
        while Instant::now() < until {
            socket.send(message.clone())?;
            if socket.read()? != message {
                return Err("another message came back".into());
            }
            answers.fetch_add(1, Relaxed);
        }
        Ok(())
    };
    let outcomes: Vec<_> = one_worker()?.run(|| {
        rustlet::scope(|s| {
            let clients: Vec<_> = (0..connections).map(|_| s.spawn(client)).collect();
            clients.into_iter().map(|client| client.join()).collect()
        })
    });
    for outcome in outcomes {
        let outcome = outcome.map_err(|_| failure("a client panicked"))?;
        outcome.map_err(failure)?;
    }
    Ok(answers.into_inner())
}

pub(crate) fn query(database: &str, threads: usize, time: Duration) -> Result<Queries> {
    let config: Config = database.parse()?;
    one_worker()?.run(|| {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let stream = TcpStream::connect(address(&config))?;
            stream.set_nodelay(true)?;
            let (client, connection) = rustlet::block_on(config.connect_raw(stream, NoTls))?;
            rustlet::spawn(move || rustlet::block_on(connection));
            clients.push(client);
        }
        let before = own_cpu_time();
        let until = Instant::now() + time;
        let ask = |client: &Client| -> Result<u64> {
            let mut count = 0;
            while Instant::now() < until {
                rustlet::block_on(one(client, count))?;
                count += 1;
            }
            Ok(count as u64)
        };
        let counts: Vec<_> = rustlet::scope(|s| {
            let (ask, clients) = (&ask, &clients);
            let threads = (0..threads).map(|n| s.spawn(move || ask(&clients[n % CLIENTS])));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut count = 0;
        for outcome in counts {
            count += outcome.map_err(|_| failure("a client panicked"))??;
        }
        Ok(Queries {
            count,
            used: own_cpu_time() - before,
        })
    })
}

pub(crate) fn address(config: &Config) -> (&str, u16) {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host,
        _ => "127.0.0.1",
    };
    (host, config.get_ports().first().copied().unwrap_or(5432))
}

/// One query.
pub(crate) async fn one(client: &Client, n: i64) -> Result {
    let rows = client
        .query_typed("SELECT $1 + 1", &[(&n, Type::INT8)])
        .await?;
    match rows.first().map(|row| row.get::<_, i64>(0)) {
        Some(next) if next == n + 1 => Ok(()),
        other => Err(failure(format!("{other:?} came back"))),
    }
}
