//! tokio-postgres over a socket of rustlet: no thread of tokio is needed.

use std::error::Error;
use std::io;

use rustlet::net::TcpStream;
use rustlet::pool::Manager;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// Opens the connections of a pool.
pub(crate) struct Connect(pub(crate) Config);

impl Connect {
    fn open_stream(&self) -> io::Result<TcpStream> {
        let Some(Host::Tcp(host)) = self.0.get_hosts().first() else {
            return Err(io::Error::other("the database needs host=NAME"));
        };
        let port = self.0.get_ports().first().copied().unwrap_or(5432);
        let stream = TcpStream::connect((host.as_str(), port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Manager for Connect {
    type Item = Client;
    type Error = Box<dyn Error + Send + Sync>;

    fn create(&self) -> Result<Client, Self::Error> {
        let opening = self.0.connect_raw(self.open_stream()?, NoTls);
        let (client, connection) = rustlet::block_on(opening)?;
        // It moves the messages of the client until the client is dropped.
        rustlet::spawn(move || rustlet::block_on(connection));
        Ok(client)
    }

    /// Asks the server, so that no caller gets a connection that the server has closed.
    fn is_valid(&self, client: &mut Client) -> Result<(), Self::Error> {
        rustlet::block_on(client.simple_query(""))?;
        Ok(())
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        client.is_closed()
    }
}
