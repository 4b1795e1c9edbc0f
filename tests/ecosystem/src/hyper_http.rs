//! HTTP with hyper: a server and clients of HTTP/1.1 and HTTP/2 on green threads, and a client that
//! knows nothing of hyper.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use rustlet::io::{self, Read, Write};
use rustlet::net::{Server, ServerHandle, TcpStream};
use rustlet::process::Command;
use rustlet::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Answers with the path and the body of the request.
async fn answer(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    // A timer of rustlet's, as an example of a wait.
    rustlet::future::sleep(Duration::from_millis(1)).await;
    let text = format!("you asked for {path} with {} bytes\n", body.len());
    Ok(Response::new(Full::from(text)))
}

/// A green thread for each connection, of HTTP/1.1.
fn serve_http1(stream: TcpStream) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(rustlet::hyper::Timer)
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(stream, service_fn(answer));
    if let Err(error) = rustlet::block_on(connection) {
        eprintln!("{error}");
    }
}

/// The same of HTTP/2: each request is a green thread of its own.
fn serve_http2(stream: TcpStream) {
    let connection = hyper::server::conn::http2::Builder::new(rustlet::hyper::Executor)
        .timer(rustlet::hyper::Timer)
        .keep_alive_interval(Duration::from_secs(10))
        .serve_connection(stream, service_fn(answer));
    if let Err(error) = rustlet::block_on(connection) {
        eprintln!("{error}");
    }
}

fn start(serve: fn(TcpStream)) -> Result<(SocketAddr, ServerHandle)> {
    let server = Server::bind("127.0.0.1:0")?;
    let (address, handle) = (server.local_addr()?, server.handle());
    rustlet::spawn(move || server.serve(serve));
    Ok((address, handle))
}

fn request(number: usize, size: usize) -> Result<Request<Full<Bytes>>> {
    let request = Request::post(format!("http://localhost/{number}")).header("host", "localhost");
    Ok(request.body(Full::from(vec![b'x'; size]))?)
}

async fn check(
    response: Response<Incoming>,
    version: Version,
    number: usize,
    size: usize,
) -> Result<()> {
    assert_eq!(response.version(), version);
    let body = response.into_body().collect().await?.to_bytes();
    let expected = format!("you asked for /{number} with {size} bytes\n");
    assert_eq!(body, expected.as_bytes());
    Ok(())
}

/// One request after the other on a connection. The connection is a green thread.
fn http1_client(address: SocketAddr) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    rustlet::block_on(async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let connection = rustlet::spawn(move || rustlet::block_on(connection));
        for number in 0..10 {
            let size = number * 30_000;
            sender.ready().await?;
            let response = sender.send_request(request(number, size)?).await?;
            check(response, Version::HTTP_11, number, size).await?;
        }
        drop(sender);
        // Waits for the end of a thread in `async` code.
        connection.await.expect("the connection does not panic")?;
        Ok(())
    })
}

/// Many requests at once on a connection.
fn http2_client(address: SocketAddr) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    let executor = rustlet::hyper::Executor;
    rustlet::block_on(async {
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await?;
        let connection = rustlet::spawn(move || rustlet::block_on(connection));
        let requests: Vec<_> = (0..20)
            .map(|number| {
                let mut sender = sender.clone();
                rustlet::spawn(move || {
                    rustlet::block_on(async {
                        let size = number * 10_000;
                        let response = sender.send_request(request(number, size)?).await?;
                        check(response, Version::HTTP_2, number, size).await
                    })
                })
            })
            .collect();
        for request in requests {
            request.await.expect("the request does not panic")?;
        }
        drop(sender);
        connection.await.expect("the connection does not panic")?;
        Ok(())
    })
}

/// A client that is not hyper's.
fn plain_client(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let request = "POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nyou asked for /plain with 3 bytes\n"),
        "{answer}"
    );
    Ok(())
}

/// curl, where it is installed.
fn curl(address: SocketAddr, option: &str) {
    let url = format!("http://{address}/curl");
    let mut curl = Command::new("curl");
    match curl
        .args(["-sS", "--max-time", "30", option, &url])
        .output()
    {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(text, "you asked for /curl with 0 bytes\n", "{output:?}");
        }
        Err(error) => println!("without curl: {error}"),
    }
}

pub fn exchange() {
    for workers in [1, 2] {
        let runtime = rustlet::Builder::new().workers(workers).build();
        let exchange = || -> Result<()> {
            let (http1, first) = start(serve_http1)?;
            let (http2, second) = start(serve_http2)?;
            rustlet::scope(|s| {
                for _ in 0..20 {
                    s.spawn(|| http1_client(http1).expect("HTTP/1.1"));
                    s.spawn(|| http2_client(http2).expect("HTTP/2"));
                    s.spawn(|| plain_client(http1).expect("a plain client"));
                }
            });
            curl(http1, "--http1.1");
            curl(http2, "--http2-prior-knowledge");
            first.shutdown();
            second.shutdown();
            Ok(())
        };
        let done = runtime.expect("a runtime").run(exchange);
        done.expect("the exchange");
    }
}
