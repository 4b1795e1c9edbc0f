//! The operations of a thread on descriptors: sockets, pipes, files, child processes. The data
//! arrives as it was sent, in order.

use crate::dice::Dice;
use crate::steps::{Actor, check_end};
use crate::watch::wrong;
use crate::world::{Alive, World};
use rustlet::net::{TcpListener, TcpStream, UdpSocket};
use rustlet::os::unix::net::{UnixDatagram, UnixStream};
use rustlet::process::{Command, Stdio};
use rustlet::{fs, io as green_io, shield, sleep, spawn, timeout};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

pub(crate) fn step(actor: &mut Actor) {
    match actor.dice.below(25) {
        0..=4 => tcp(actor),
        5..=7 => accept(actor),
        8..=11 => unix(actor),
        12..=14 => udp(actor),
        15 | 16 => datagrams(actor),
        17 | 18 => pipe(actor),
        19..=22 => files(actor),
        23 => readiness(actor),
        _ => process(actor),
    }
}

/// Returns the byte at `position` of every stream.
fn byte(position: usize) -> u8 {
    (position * 7 + position / 251) as u8
}

/// Returns whether this is the cancellation error used while it is unknown whether the thread
/// unwinds.
fn is_cancelled(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<rustlet::Cancelled>())
}

/// Reads to the end, or to the first error: the data must be the beginning of the fixed stream.
/// Returns its length.
fn read_all(mut from: impl Read, dice: &mut Dice) -> io::Result<usize> {
    let mut position = 0;
    let mut buffer = [0; 700];
    loop {
        let length = 1 + dice.below(700) as usize;
        match from.read(&mut buffer[..length]) {
            Ok(0) => return Ok(position),
            Err(error) => return Err(error),
            Ok(count) => {
                for &got in &buffer[..count] {
                    if got != byte(position) {
                        wrong("a byte that was not sent, or not there");
                    }
                    position += 1;
                }
            }
        }
    }
}

fn write_all(mut to: impl Write, count: usize, dice: &mut Dice) -> io::Result<()> {
    let data: Vec<u8> = (0..count).map(byte).collect();
    let mut rest = &data[..];
    while !rest.is_empty() {
        let length = rest.len().min(1 + dice.below(1500) as usize);
        to.write_all(&rest[..length])?;
        rest = &rest[length..];
    }
    Ok(())
}

/// Accepts until it is cancelled, or the listener fails.
pub(crate) fn serve(world: &Arc<World>) {
    while let Ok((stream, _)) = world.listener.accept() {
        let alive = Alive::new(world);
        drop(spawn(move || {
            let _alive = alive;
            echo(&stream);
        }));
    }
}

fn echo(mut stream: &TcpStream) {
    let mut buffer = [0; 500];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// A client of any accepting thread: it gets back the data that it sent.
fn tcp(actor: &mut Actor) {
    let Actor { world, dice, .. } = actor;
    let count = dice.below(3000) as usize;
    let inner = &mut dice.split();
    // Never without a limit: perhaps no thread accepts.
    drop(timeout(dice.span() * 3, || {
        let mut stream = match inner.one_in(3) {
            true => TcpStream::connect_timeout(&world.address, Duration::from_millis(1))?,
            false => TcpStream::connect(world.address)?,
        };
        if inner.one_in(4) {
            stream.set_read_timeout(Some(Duration::from_micros(300)))?;
        }
        write_all(&mut stream, count, inner)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        read_all(&mut stream, inner)?;
        io::Result::Ok(())
    }));
}

/// One of the accepting threads. A connection that a cancelled `accept` has left is there for the
/// next.
fn accept(actor: &mut Actor) {
    let patience = actor.patience;
    let Actor { world, dice, .. } = actor;
    if dice.one_in(4) {
        // Alone with a listener of its own: the connection is there, whichever thread was
        // cancelled.
        drop(timeout(dice.span(), || {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let _ended = timeout(Duration::from_micros(1), || listener.accept().map(drop));
            let _second = TcpStream::connect(listener.local_addr()?)?;
            listener.accept()?;
            drop(client);
            io::Result::Ok(())
        }));
        return;
    }
    let accepted = patience.limit(dice, || world.listener.accept());
    if let Ok(Ok((stream, _))) = accepted {
        drop(timeout(dice.span(), || echo(&stream)));
    }
}

fn unix(actor: &mut Actor) {
    let patience = actor.patience;
    let alive = Alive::new(&actor.world);
    let dice = &mut actor.dice;
    let Ok((one, other)) = UnixStream::pair() else {
        wrong("no pair of sockets");
    };
    let mut theirs = dice.split();
    // Sometimes more than the buffers hold.
    let count = *dice.pick(&[10, 1000, 300_000]);
    let writer = spawn(move || {
        let _alive = alive;
        let written = timeout(theirs.span() * 4, || write_all(&other, count, &mut theirs));
        matches!(written, Ok(Ok(())))
    });
    if dice.one_in(4) {
        writer.cancel();
    }
    let inner = &mut dice.split();
    let read = patience.limit(dice, || read_all(&one, inner));
    drop(one);
    match (shield(|| writer.join()), read) {
        (Ok(true), Ok(Ok(length))) if length != count => {
            wrong("a stream that was written is cut off");
        }
        (_, Ok(Err(error))) if !is_cancelled(&error) => wrong(&format!("no stream: {error}")),
        (result, _) => check_end(result),
    }
}

fn udp(actor: &mut Actor) {
    let Actor { dice, .. } = actor;
    let inner = &mut dice.split();
    drop(timeout(dice.span() * 2, || {
        let one = UdpSocket::bind("127.0.0.1:0")?;
        let other = UdpSocket::bind("127.0.0.1:0")?;
        other.connect(one.local_addr()?)?;
        one.set_read_timeout(Some(Duration::from_micros(500)))?;
        for number in 0..3_u8 {
            other.send(&[number; 20])?;
            let mut buffer = [0; 40];
            if inner.one_in(3) {
                drop(timeout(inner.span(), || one.peek(&mut buffer)));
            }
            match one.recv_from(&mut buffer) {
                Ok((count, _)) if buffer[..count] != [number; 20] => wrong("another datagram"),
                Ok(_) => {}
                // From here on the arriving datagrams have earlier numbers.
                Err(_) => break,
            }
        }
        // No thread sends: it ends by one limit or the other.
        drop(one.recv(&mut [0; 10]));
        io::Result::Ok(())
    }));
}

fn datagrams(actor: &mut Actor) {
    let patience = actor.patience;
    let dice = &mut actor.dice;
    let (one, other) = UnixDatagram::pair().unwrap_or_else(|_| wrong("no pair of sockets"));
    let helper = {
        let (span, alive) = (dice.span(), Alive::new(&actor.world));
        spawn(move || {
            let _alive = alive;
            sleep(span);
            drop(other.send(b"one"));
            sleep(span);
        })
    };
    let mut buffer = [0; 10];
    let dice = &mut actor.dice;
    if let Ok(Ok(count)) = patience.limit(dice, || one.recv(&mut buffer))
        && &buffer[..count] != b"one"
        && count != 0
    {
        wrong("another datagram");
    }
    actor.end(helper);
}

fn pipe(actor: &mut Actor) {
    let patience = actor.patience;
    let alive = Alive::new(&actor.world);
    let dice = &mut actor.dice;
    let (reader, writer) = green_io::pipe().unwrap_or_else(|_| wrong("no pipe"));
    let (mut theirs, count) = (dice.split(), *dice.pick(&[5, 5000, 200_000]));
    let helper = spawn(move || {
        let _alive = alive;
        drop(timeout(theirs.span() * 3, || {
            write_all(&writer, count, &mut theirs)
        }));
    });
    let inner = &mut dice.split();
    drop(patience.limit(dice, || read_all(&reader, inner)));
    drop(reader);
    actor.end(helper);
}

/// A file of its own: whole if no thread was cancelled, a part of it otherwise.
fn files(actor: &mut Actor) {
    let Actor { world, dice, .. } = actor;
    let path = world
        .place
        .join(world.files.fetch_add(1, SeqCst).to_string());
    let count = dice.below(20_000) as usize;
    let data: Vec<u8> = (0..count).map(byte).collect();
    let inner = &mut dice.split();
    let done = timeout(dice.span(), || match inner.below(3) {
        0 => {
            fs::write(&path, &data)?;
            Ok(fs::read(&path)? == data)
        }
        1 => {
            write_all(fs::File::create(&path)?, count, inner)?;
            Ok(read_all(fs::File::open(&path)?, inner)? == count)
        }
        _ => {
            fs::create_dir_all(path.join("a/b"))?;
            fs::write(path.join("a/b/c"), &data)?;
            let length = fs::metadata(path.join("a/b/c"))?.len();
            for entry in fs::read_dir(path.join("a"))? {
                entry?;
            }
            fs::remove_dir_all(&path)?;
            io::Result::Ok(length == count as u64)
        }
    });
    match done {
        Ok(Ok(true)) | Err(_) => {}
        Ok(Ok(false)) => wrong("a file has other contents than were written"),
        Ok(Err(error)) if is_cancelled(&error) => {}
        Ok(Err(error)) => wrong(&format!("a file that cannot be used: {error}")),
    }
    if dice.one_in(2) {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => drop(fs::remove_dir_all(&path)),
        }
    }
}

fn readiness(actor: &mut Actor) {
    use rustlet::channel::{after, select};
    let patience = actor.patience;
    let dice = &mut actor.dice;
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap_or_else(|_| wrong("no pair"));
    let says = dice.one_in(2);
    if says {
        (&other)
            .write_all(b"!")
            .unwrap_or_else(|_| wrong("it takes a byte"));
    }
    if dice.one_in(2) {
        let watch = green_io::Watch::new(one).unwrap_or_else(|_| wrong("no watch"));
        let (span, readable) = (dice.span(), watch.readable());
        drop(patience.limit(dice, || {
            select! {
                recv(readable) -> _ => if !says { wrong("nothing to read") },
                recv(after(span)) -> _ => {}
            }
        }));
    } else if let Ok(Ok(())) = patience.limit(dice, || green_io::wait_readable(&one))
        && !says
    {
        wrong("nothing to read");
    }
    drop(other);
}

/// Children are expensive.
fn process(actor: &mut Actor) {
    let dice = &mut actor.dice;
    if !dice.one_in(8) {
        return;
    }
    let patience = actor.patience;
    match dice.below(3) {
        0 => {
            let status = patience.limit(dice, || Command::new("true").status());
            if let Ok(Ok(status)) = status
                && !status.success()
            {
                wrong("`true` is false");
            }
        }
        1 => {
            let child = Command::new("sleep")
                .arg("1000")
                .stdin(Stdio::null())
                .spawn();
            let mut child = child.unwrap_or_else(|_| wrong("no child"));
            struct Kill<'a>(&'a mut rustlet::process::Child);
            impl Drop for Kill<'_> {
                fn drop(&mut self) {
                    drop(self.0.kill());
                }
            }
            let kill = Kill(&mut child);
            drop(patience.limit(dice, || kill.0.wait()));
        }
        _ => {
            let output = patience.limit(dice, || {
                Command::new("sh")
                    .args(["-c", "echo out; echo err >&2"])
                    .output()
            });
            if let Ok(Ok(output)) = output
                && (output.stdout != b"out\n" || output.stderr != b"err\n")
            {
                wrong("another output");
            }
        }
    }
}
