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
        let body = match request.parse(&head) {
            Ok(_) => format!("you asked for {}\n", request.path.unwrap_or("nothing")),
            Err(error) => return write!(&*stream, "HTTP/1.1 400 {error}\r\n\r\n"),
        };
        let length = body.len();
        write!(
            &*stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
    }
}

pub fn exchange() -> io::Result<()> {
    let server = Server::bind("127.0.0.1:0")?;
    let (address, handle) = (server.local_addr()?, server.handle());
    let serving = rustlet::spawn(move || {
        server.serve(|stream| serve(&stream).unwrap_or_else(|error| eprintln!("{error}")))
    });

    let mut client = TcpStream::connect(address)?;
    client.write_all(b"GET /guide HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    client.shutdown(rustlet::net::Shutdown::Write)?;
    let answer = io::read_to_string(&client)?;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nyou asked for /guide\n"),
        "{answer}"
    );

    handle.shutdown();
    serving.join().expect("the server does not panic")
}
