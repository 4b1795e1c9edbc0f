//! HTTP with httparse.

use rustlet::io::{self, BufRead, BufReader, Read, Write};
use rustlet::net::{Server, TcpStream};

/// Answers requests on one connection until the client closes its side.
fn serve(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // A limit, so that a client cannot make the server keep any amount of text.
            let limit = 8192 - head.len() as u64;
            if reader.by_ref().take(limit).read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if let Err(error) = request.parse(&head) {
            return write!(&*stream, "HTTP/1.1 400 {error}\r\n\r\n");
        }
        let Some(length) = body_length(request.headers).filter(|&length| length <= MAX_BODY) else {
            return write!(&*stream, "HTTP/1.1 413 Content Too Large\r\n\r\n");
        };
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = request.path.unwrap_or("nothing");
        let answer = format!("you asked for {path} and sent {length} bytes\n");
        let length = answer.len();
        write!(
            &*stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}"
        )?;
    }
}

/// The length of the largest body that a request may have.
const MAX_BODY: usize = 1 << 20;

/// Returns the length of a request's body, or `None` if it is no number.
fn body_length(headers: &[httparse::Header<'_>]) -> Option<usize> {
    let is_length =
        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("content-length");
    match headers.iter().find(is_length) {
        Some(header) => str::from_utf8(header.value).ok()?.trim().parse().ok(),
        None => Some(0),
    }
}

pub fn exchange() -> io::Result<()> {
    let server = Server::bind("127.0.0.1:0")?;
    let (address, handle) = (server.local_addr()?, server.handle());
    let serving = rustlet::spawn(move || {
        server.serve(|stream| serve(&stream).unwrap_or_else(|error| eprintln!("{error}")))
    });

    let ask = |requests: &str| -> io::Result<String> {
        let mut client = TcpStream::connect(address)?;
        client.write_all(requests.as_bytes())?;
        client.shutdown(rustlet::net::Shutdown::Write)?;
        io::read_to_string(&client)
    };
    // Two requests on one connection.
    let answer = ask("GET /guide HTTP/1.1\r\nHost: localhost\r\n\r\n\
                      POST /notes HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for text in [
        "\r\n\r\nyou asked for /guide and sent 0 bytes\n",
        "\r\n\r\nyou asked for /notes and sent 5 bytes\n",
    ] {
        assert!(answer.contains(text), "{answer}");
    }
    for length in ["many", "1048577"] {
        let answer = ask(&format!(
            "POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
        ))?;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }

    handle.shutdown();
    serving.join().expect("the server does not panic")
}
