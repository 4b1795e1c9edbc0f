//! WebSocket with tungstenite, over `rustlet::net::TcpStream`.

use std::error::Error;

use rustlet::net::{TcpListener, TcpStream};
use tungstenite::Message;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Sends each message back until the client closes the connection.
fn serve(stream: TcpStream) -> Result<()> {
    let mut socket = tungstenite::accept(stream)?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            Ok(_) => {} // Pings are answered by tungstenite.
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub fn exchange() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = rustlet::spawn(move || serve(listener.accept()?.0));

    let stream = TcpStream::connect(address)?;
    let (mut socket, _response) = tungstenite::client(format!("ws://{address}/"), stream)?;
    socket.send(Message::text("hello"))?;
    assert_eq!(socket.read()?, Message::text("hello"));
    socket.close(None)?;
    while socket.read().is_ok() {}
    serving.join().expect("the server does not panic")
}
