//! A thread for each connection; the module that includes this file decides which kind of thread.

use super::net::{TcpListener, TcpStream};
use super::thread;

use std::io::{self, Read, Write};
use std::time::Duration;

pub(crate) fn serve(listener: TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let served = stream.and_then(|stream| thread::Builder::new().spawn(move || echo(stream)));
        if served.is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length])?;
    }
}
