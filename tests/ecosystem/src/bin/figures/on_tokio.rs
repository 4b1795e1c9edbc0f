//! What is measured, on tokio: the same with the crates' own adapters for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::{Config, NoTls};
use tokio_rustls::TlsAcceptor;

use crate::on_rustlet::{address, config, hello, one};
use crate::support::{Result, failure};
use crate::{ANSWER, CLIENTS, Queries, Runtime, own_cpu_time};

type Outcome = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn one_worker(runtime: Runtime) -> Result<tokio::runtime::Runtime> {
    let mut builder = match runtime {
        Runtime::MultiThread => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    Ok(builder.worker_threads(1).enable_all().build()?)
}

pub(crate) fn serve(row: &str, runtime: Runtime, tls: Option<(String, String)>) -> Result {
    let tls = match tls {
        Some((cert, key)) => Some(TlsAcceptor::from(config(&cert, &key)?)),
        None => None,
    };
    let is_websocket = row == "tungstenite";
    one_worker(runtime)?.block_on(async {
        let accepting = tokio::spawn(accept(is_websocket, tls));
        accepting
            .await
            .map_err(|_| failure("the server panicked"))?
    })
}

/// Spawned, since what `block_on` polls runs on the calling thread and not on a worker.
async fn accept(is_websocket: bool, tls: Option<TlsAcceptor>) -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks ends.
        match &tls {
            Some(tls) => drop(tokio::spawn(answer(stream, tls.clone()))),
            None if is_websocket => drop(tokio::spawn(echo(stream))),
            None => {
                let http = hyper::server::conn::http1::Builder::new();
                drop(tokio::spawn(
                    http.serve_connection(TokioIo::new(stream), service_fn(hello)),
                ));
            }
        }
    }
}

async fn answer(stream: TcpStream, tls: TlsAcceptor) -> Outcome {
    let mut stream = tls.accept(stream).await?;
    let (mut head, mut length) = ([0; 4096], 0);
    loop {
        match stream.read(&mut head[length..]).await? {
            0 => return Ok(()),
            count => length += count,
        }
        if head[..length].ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER).await?;
            stream.flush().await?;
            length = 0;
        }
    }
}

async fn echo(stream: TcpStream) -> Outcome {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

pub(crate) fn query(
    database: &str,
    runtime: Runtime,
    threads: usize,
    time: Duration,
) -> Result<Queries> {
    let config: Config = database.parse()?;
    one_worker(runtime)?.block_on(async move {
        let asking = tokio::spawn(ask_all(config, threads, time));
        asking.await.map_err(|_| failure("a client panicked"))?
    })
}

async fn ask_all(config: Config, threads: usize, time: Duration) -> Result<Queries> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(address(&config)).await?;
        stream.set_nodelay(true)?;
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        tokio::spawn(connection);
        clients.push(Arc::new(client));
    }
    let before = own_cpu_time();
    let until = Instant::now() + time;
    let tasks: Vec<_> = (0..threads)
        .map(|n| {
            let client = Arc::clone(&clients[n % CLIENTS]);
            tokio::spawn(async move {
                let mut count = 0;
                while Instant::now() < until {
                    one(&client, count).await?;
                    count += 1;
                }
                Ok(count as u64)
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        let asked: Result<u64> = task.await.map_err(|_| failure("a client panicked"))?;
        count += asked?;
    }
    Ok(Queries {
        count,
        used: own_cpu_time() - before,
    })
}
