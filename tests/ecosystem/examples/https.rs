//! An HTTPS server and an HTTPS client with rustls and httparse.
//!
//! What it shows: crates that work on anything that is `Read + Write` need no glue. rustls'
//! `StreamOwned` wraps a socket of rustlet, and httparse parses what comes out of it.
//!
//! ```sh
//! cargo run --example https -- serve cert.pem key.pem 127.0.0.1:8443
//! curl --cacert cert.pem https://localhost:8443/hello
//! cargo run --example https -- get https://localhost:8443/hello cert.pem
//! ```

mod serving;
#[path = "../../../examples/support/mod.rs"]
mod support;

use support::{Args, Result, cannot, failure, misuse};

use rustlet::io::{self, BufRead, BufReader, Read, Write};
use rustlet::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{ProtocolVersion, StreamOwned};

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] serve CERTIFICATES KEY [ADDRESS]
       https [OPTIONS] get URL CERTIFICATES

Serves HTTPS until Ctrl-C, or gets a page over HTTPS and prints it.

CERTIFICATES         a PEM file: the server's certificates; of `get`, those that it trusts
KEY                  a PEM file with the server's private key
ADDRESS              where to listen (default 127.0.0.1:8443; port 0: the system chooses)
--idle-timeout MS    how long to wait for a request (default 10000)
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

/// The length of the longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// The length of the longest body of a request, in bytes.
const MAX_BODY: usize = 1024 * 1024;

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let idle = args.milliseconds("--idle-timeout")?;
        match args.word()?.as_deref() {
            Some("serve") => {
                let config = server_config(args)?;
                let address = args.word_or("127.0.0.1:8443")?;
                args.end()?;
                let idle = idle.unwrap_or(Duration::from_secs(10));
                runtime.build()?.run(|| {
                    serving::serve(&address, move |stream| {
                        if let Err(error) = converse(stream, Arc::clone(&config), idle) {
                            eprintln!("{error}");
                        }
                    })
                })
            }
            Some("get") => {
                let url = next(args, "a URL")?;
                let config = client_config(args)?;
                args.end()?;
                let page = runtime.build()?.run(|| get(&url, config))?;
                print!("{page}");
                Ok(())
            }
            _ => Err(misuse("`serve` or `get` is needed")),
        }
    })
}

fn next(args: &mut Args, name: &str) -> Result<String> {
    args.word()?
        .ok_or_else(|| misuse(format!("{name} is needed")))
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let items = CertificateDer::pem_file_iter(file)?;
    Ok(items.collect::<std::result::Result<_, _>>()?)
}

fn server_config(args: &mut Args) -> Result<Arc<ServerConfig>> {
    let chain = certificates(&next(args, "a file of CERTIFICATES")?)?;
    let key = PrivateKeyDer::from_pem_file(next(args, "a file with a KEY")?)?;
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(chain, key)?))
}

fn client_config(args: &mut Args) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&next(args, "a file of CERTIFICATES")?)? {
        roots.add(certificate)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Answers requests on one connection until the client closes it or stays idle.
fn converse(stream: TcpStream, config: Arc<ServerConfig>, idle: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some((path, length)) = receive(&mut stream)? {
        let tls = stream.get_mut();
        let version = match tls.conn.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        };
        let body = format!("you asked for {path} with {length} bytes over {version}\n");
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        tls.write_all(answer.as_bytes())?;
    }
    let tls = stream.get_mut();
    tls.conn.send_close_notify();
    tls.flush()
}

/// Returns the path of the next request and the length of its body, or `None` if there is none.
fn receive(reader: &mut impl BufRead) -> io::Result<Option<(String, usize)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let left = MAX_HEAD - head.len();
        match reader.take(left as u64).read_until(b'\n', &mut head)? {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::InvalidData.into()),
            _ => {}
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(&head).map_err(io::Error::other)?;
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some(header) => str::from_utf8(header.value)
            .ok()
            .and_then(|text| text.parse().ok()),
        None => Some(0),
    };
    let Some(length) = length.filter(|&length| length <= MAX_BODY) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let path = request.path.unwrap_or_default().to_owned();
    io::copy(&mut reader.take(length as u64), &mut io::sink())?;
    Ok(Some((path, length)))
}

/// Returns the body of the page at `url`.
fn get(url: &str, config: Arc<ClientConfig>) -> Result<String> {
    let rest = url.strip_prefix("https://");
    let rest = rest.ok_or_else(|| misuse("the URL begins with https://"))?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
    let stream = TcpStream::connect((host, port.parse()?));
    let stream = stream.map_err(cannot("connect to", authority))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ClientConnection::new(config, ServerName::try_from(host.to_owned())?)?;
    let mut stream = StreamOwned::new(connection, stream);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // Without a close_notify this is an error: the page may have been cut off.
    let answer = io::read_to_string(&mut stream)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(failure(format!(
            "the server said {}",
            head.lines().next().unwrap_or("")
        )))
    }
}
