//! TLS with rustls: its `StreamOwned` over `rustlet::net::TcpStream`.

use std::error::Error;
use std::sync::Arc;

use rustlet::io::{self, BufRead, BufReader, Write};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::time::Duration;
use rustls::StreamOwned;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Sends each line back, encrypted.
fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> Result<()> {
    let stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    // One limit for the handshake and everything after it. A stream is dropped after it.
    rustlet::timeout(Duration::from_secs(60), || {
        while stream.read_line(&mut line)? > 0 {
            stream.get_mut().write_all(line.as_bytes())?;
            line.clear();
        }
        stream.get_mut().conn.send_close_notify();
        stream.get_mut().flush()
    })??;
    Ok(())
}

pub fn exchange() -> Result<()> {
    let (server_config, client_config) = configs()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = rustlet::spawn(move || serve(listener.accept()?.0, server_config));

    let connection = ClientConnection::new(client_config, ServerName::try_from("localhost")?)?;
    let mut client = StreamOwned::new(connection, TcpStream::connect(address)?);
    client.write_all(b"secret\n")?;
    client.conn.send_close_notify();
    client.flush()?;
    assert_eq!(io::read_to_string(&mut client)?, "secret\n");
    serving.join().expect("the server does not panic")
}

/// A new certificate, and a client that trusts it.
fn configs() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>)> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der())?;
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone())?;
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}
