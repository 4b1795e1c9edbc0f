//! The same three servers on each runtime: echo, echo with a time limit on every read, and "hello"
//! over HTTP.
//!
//! Each runs in a process of its own: this program again.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio, exit};
use std::{env, thread};

use super::epoll;
use super::service::{BUFFER, LIMIT, Service, answer};
use crate::blocking::{STACK, may::configure};
use crate::futures::tokio::runtime;
use crate::{golang, machine};

/// Serves on runtimes whose streams read and write like std's.
fn talk(mut stream: impl Read + Write, service: Service) {
    let mut buffer = [0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(answer(service, &buffer[..count])).is_err() {
            break;
        }
    }
}

fn serve_rustlet(listener: TcpListener, workers: usize, service: Service) -> io::Result<()> {
    let runtime = rustlet::Builder::new().workers(workers).build()?;
    runtime.run(|| {
        let listener: rustlet::net::TcpListener = listener.into();
        for stream in listener.incoming() {
            let stream = stream?;
            stream.set_nodelay(true)?;
            if service.is_limited() {
                stream.set_read_timeout(Some(LIMIT))?;
            }
            rustlet::spawn(move || talk(stream, service));
        }
        Ok(())
    })
}

/// Its listeners cannot be made from std's, so this one is announced here.
fn serve_may(workers: usize, service: Service) -> io::Result<()> {
    configure(workers);
    let listener = may::net::TcpListener::bind("127.0.0.1:0")?;
    // SAFETY: the listener outlives the borrow.
    let raw = unsafe { BorrowedFd::borrow_raw(listener.as_raw_fd()) };
    rustix::net::listen(raw, BACKLOG)?;
    announce(listener.local_addr()?)?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        if service.is_limited() {
            stream.set_read_timeout(Some(LIMIT))?;
        }
        // SAFETY: this code touches no thread-local, and stays far from the end of its stack.
        unsafe { may::coroutine::spawn(move || talk(stream, service)) };
    }
    Ok(())
}

fn serve_threads(listener: TcpListener, service: Service) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        if service.is_limited() {
            stream.set_read_timeout(Some(LIMIT))?;
        }
        thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || talk(stream, service))?;
    }
    Ok(())
}

fn serve_tokio(
    listener: TcpListener,
    current_thread: bool,
    workers: usize,
    service: Service,
) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    async fn talk(mut stream: tokio::net::TcpStream, service: Service) {
        let mut buffer = [0; BUFFER];
        loop {
            let read = stream.read(&mut buffer);
            let count = if service.is_limited() {
                tokio::time::timeout(LIMIT, read).await.unwrap_or(Ok(0))
            } else {
                read.await
            };
            let Ok(count @ 1..) = count else { return };
            if stream
                .write_all(answer(service, &buffer[..count]))
                .await
                .is_err()
            {
                return;
            }
        }
    }
    listener.set_nonblocking(true)?;
    runtime(current_thread, workers).block_on(async {
        let accepting = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(talk(stream, service));
            }
        };
        tokio::spawn(accepting).await.map_err(io::Error::other)?
    })
}

fn serve_smol(listener: TcpListener, workers: usize, service: Service) -> io::Result<()> {
    use smol::future::FutureExt;
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    async fn talk(mut stream: smol::net::TcpStream, service: Service) {
        let mut buffer = [0; BUFFER];
        loop {
            let read = stream.read(&mut buffer);
            let count = if service.is_limited() {
                let late = async {
                    smol::Timer::after(LIMIT).await;
                    Ok(0)
                };
                read.or(late).await
            } else {
                read.await
            };
            let Ok(count @ 1..) = count else { return };
            if stream
                .write_all(answer(service, &buffer[..count]))
                .await
                .is_err()
            {
                return;
            }
        }
    }
    let executor: &'static smol::Executor<'static> = Box::leak(Box::default());
    for _ in 1..workers {
        thread::spawn(move || smol::block_on(executor.run(std::future::pending::<()>())));
    }
    smol::block_on(executor.run(async move {
        let listener: smol::net::TcpListener = smol::Async::new(listener)?.into();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            executor.spawn(talk(stream, service)).detach();
        }
    }))
}

/// All get the same long queue; Go takes the longest that the system allows, which is as long.
const BACKLOG: i32 = 4096;

/// Sends the server's address to the parent.
fn announce(address: SocketAddr) -> io::Result<()> {
    println!("{address}");
    io::stdout().flush()
}

/// Serves forever.
fn serve(peer: &str, workers: usize, service: Service) -> io::Result<()> {
    if peer == "may" {
        return serve_may(workers, service);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    rustix::net::listen(&listener, BACKLOG)?;
    announce(listener.local_addr()?)?;
    match peer {
        "rustlet" => serve_rustlet(listener, workers, service),
        "tokio-mt" => serve_tokio(listener, false, workers, service),
        "tokio-ct" => serve_tokio(listener, true, workers, service),
        "smol" => serve_smol(listener, workers, service),
        "threads" => serve_threads(listener, service),
        "limit" => epoll::serve(&listener, workers, service),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Followed by a peer's name, a number of workers, a service and a list of cores, makes this
/// program that server.
pub(crate) const ARGUMENT: &str = "--serve";

/// Runs the child's side.
pub(crate) fn child(args: &[String]) -> io::Result<()> {
    let [peer, workers, service, cores] = args else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let workers: usize = workers.parse().map_err(io::Error::other)?;
    let service = Service::named(service).ok_or(io::ErrorKind::InvalidInput)?;
    let cores: Vec<usize> = cores
        .split(',')
        .filter_map(|core| core.parse().ok())
        .collect();
    machine::raise_open_files()?;
    machine::pin(&cores)?;
    if peer == "go" {
        return Err(golang::serve(service.name(), workers));
    }
    // The parent's end closes when the parent ends.
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        exit(0);
    });
    serve(peer, workers, service)
}

/// A running server; dropping it ends the process.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
    _output: BufReader<ChildStdout>,
}

impl Serving {
    pub(crate) fn start(
        peer: &str,
        workers: usize,
        service: Service,
        cores: &[usize],
    ) -> io::Result<Serving> {
        let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
        let mut child = Command::new(env::current_exe()?)
            .args([
                ARGUMENT,
                peer,
                &workers.to_string(),
                service.name(),
                &cores.join(","),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut serving = Serving {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            _output: BufReader::new(output),
        };
        let mut line = String::new();
        serving._output.read_line(&mut line)?;
        let address = line.trim().parse();
        serving.address = address.map_err(|_| io::Error::other("the server did not start"))?;
        Ok(serving)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
