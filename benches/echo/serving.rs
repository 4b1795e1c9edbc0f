//! A server in a process of its own: this program again, with an argument that makes it serve.

use crate::servers::Server;
use crate::support::machine;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Followed by a server's name and the number of a core, makes this program that server.
pub(crate) const ARGUMENT: &str = "--serve";

/// A running server; dropping it ends the process.
pub(crate) struct Serving {
    child: Child,
    address: SocketAddr,
    /// Open as long as the server is needed.
    _output: BufReader<ChildStdout>,
}

impl Serving {
    pub(crate) fn start(server: Server, core: usize) -> io::Result<Serving> {
        let mut child = Command::new(env::current_exe()?)
            .args([ARGUMENT, server.name(), &core.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other("the server did not start"));
        let mut serving = Serving {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            _output: output,
        };
        serving.address = address?;
        Ok(serving)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the descriptors and resident bytes once the descriptors are down to the former
    /// number, or after ten seconds.
    pub(crate) fn settled(&self, descriptors: usize) -> Option<(usize, u64)> {
        let begin = Instant::now();
        loop {
            thread::sleep(Duration::from_millis(100));
            let open = machine::open_files(self.pid()).ok()?;
            if open <= descriptors || begin.elapsed() > Duration::from_secs(10) {
                // Pools release memory with a delay.
                thread::sleep(Duration::from_secs(3));
                return Some((
                    machine::open_files(self.pid()).ok()?,
                    machine::resident(self.pid()).ok()?,
                ));
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself, which is the aim.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the child: serves until the other end of its standard input is gone.
pub(crate) fn serve(name: &str, core: &str) -> io::Result<()> {
    let server = Server::named(name).ok_or(io::ErrorKind::InvalidInput)?;
    machine::raise_open_files()?;
    machine::pin(&[core.parse().map_err(io::Error::other)?])?;
    thread::spawn(|| {
        drop(io::stdin().read(&mut [0]));
        exit(0);
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    server.run(listener)
}
