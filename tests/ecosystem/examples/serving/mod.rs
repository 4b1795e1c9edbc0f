//! What the servers in this folder share: the loop that serves until Ctrl-C.

use rustlet::channel::select;
use rustlet::net::{Server, TcpStream};
use rustlet::signal::{self, SIGINT, SIGTERM};

use std::panic::resume_unwind;
use std::time::Duration;

use crate::support::{Result, cannot};

/// How long open connections may continue after Ctrl-C before they are cancelled.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `handler` on a green thread for each connection, until Ctrl-C or SIGTERM.
pub(crate) fn serve(address: &str, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Result {
    let server = Server::bind(address).map_err(cannot("listen on", address))?;
    let interrupted = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);
    let handle = server.handle();
    let serving = rustlet::spawn(move || server.serve(handler));
    select! {
        recv(interrupted) -> _ => {
            handle.shutdown_timeout(GRACE);
            Ok(())
        }
        recv(serving.done()) -> _ => {
            Ok(serving.join().unwrap_or_else(|panic| resume_unwind(panic))?)
        }
    }
}
