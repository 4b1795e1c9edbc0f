//! A chat server with rooms, for clients such as `nc`.
//!
//! What it shows: one green thread for each direction of a connection. The one that reads a
//! client's lines puts them into the queues of the others in the room; the one that writes takes
//! lines from its client's queue. The queues are bounded and a full one is skipped: a client that
//! reads slowly blocks no other client. It misses lines, gets a message with their number, and is
//! disconnected when nothing can be written for a minute. The lock is rustlet's, so it may be held
//! across calls that suspend.
//!
//! ```sh
//! cargo run --release --example chat
//! ```
//!
//! To try against it, in several terminals: `nc 127.0.0.1 7070`, then a line of text, `/nick NAME`,
//! `/join ROOM`, `/who`, `/quit`. To be a slow client, stop an `nc` with Ctrl-Z, let another send a
//! lot (`yes | nc 127.0.0.1 7070`), and continue with `fg`.

mod support;

use rustlet::channel::{self, Receiver, Sender, select};
use rustlet::net::{Server, Shutdown, TcpStream};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::sync::{Mutex, MutexGuard};
use rustlet::thread;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem::take;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use support::cannot;

const HELP: &str = "\
[OPTIONS] [ADDRESS]

A chat server for clients such as nc, until Ctrl-C.

ADDRESS        where to listen (default 127.0.0.1:7070; port 0: the system chooses)
--people N     how many clients at a time (default 1000); others wait
--workers N    run on N workers (OS threads; default one per core)
--help         print this text";

const COMMANDS: &str =
    "* /nick NAME, /join ROOM, /who, /quit; anything else is said to all in the room\n";
const FIRST_ROOM: &str = "hall";

/// The longest line that is accepted, in bytes.
const MAX_LINE: u64 = 1024;
/// How many lines wait for a client. It misses what does not fit.
const QUEUE: usize = 256;
/// A client that accepts no bytes for this long is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many clients have connected since the start; the last one's number.
static CONNECTED: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let people = args.number("--people", 1)?.unwrap_or(1_000);
        let address = args.word_or("127.0.0.1:7070")?;
        args.end()?;
        runtime.build()?.run(|| serve(&address, people as usize))
    })
}

/// Serves until Ctrl-C. The clients that are connected then are cancelled when this returns.
fn serve(address: &str, people: usize) -> support::Result {
    let server = Server::bind(address).map_err(cannot("listen on", address))?;
    let server = server.max_connections(people);
    let interrupted = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let clients = Clients::default();
    let serving = thread::spawn(move || {
        server.serve(move |stream| {
            // An error ends this connection only.
            drop(converse(&clients, &stream));
        })
    });
    select! {
        recv(interrupted) -> _ => Ok(()),
        recv(serving.done()) -> _ => {
            Ok(serving.join().unwrap_or_else(|panic| resume_unwind(panic))?)
        }
    }
}

/// One client, from its first line to its last: reads here, and writes in a second green thread.
fn converse(clients: &Clients, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    thread::scope(|scope| {
        let (session, lines) = Session::enter(clients);
        let id = session.id;
        scope.spawn(move || {
            if write_lines(clients, id, &lines, stream).is_err() {
                // Ends the reading thread too.
                drop(stream.shutdown(Shutdown::Both));
            }
        });
        // Leaving closes the queue, which ends the writing thread. The scope waits for that.
        session.read_lines(stream)
    })
}

/// Writes the lines of the queue, all that are there at a time.
fn write_lines(
    clients: &Clients,
    id: u64,
    lines: &Receiver<Arc<str>>,
    mut stream: &TcpStream,
) -> io::Result<()> {
    while let Ok(first) = lines.recv() {
        let mut text = first.to_string();
        // While the lock is held no line is added: the missed ones come after all that are queued.
        let mut locked = clients.lock();
        text.extend(lines.try_iter().map(|line| line.to_string()));
        let missed = locked
            .get_mut(&id)
            .map_or(0, |client| take(&mut client.missed));
        drop(locked);
        if missed > 0 {
            text += &format!("* you read too slowly, and missed {missed} lines\n");
        }
        stream.write_all(text.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}

/// All clients, by the number that each got when it connected.
#[derive(Default)]
struct Clients(Mutex<BTreeMap<u64, Client>>);

struct Client {
    nick: String,
    room: String,
    queue: Sender<Arc<str>>,
    missed: usize,
}

impl Client {
    /// Queues a line, or counts it as missed. Never waits.
    fn send(&mut self, line: &Arc<str>) {
        if self.queue.try_send(Arc::clone(line)).is_err() {
            self.missed += 1;
        }
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a line for all in a room, except for one.
    fn send(&self, room: &str, except: u64, line: &str) {
        let line = line.into();
        for (id, client) in self.lock().iter_mut() {
            if client.room == room && *id != except {
                client.send(&line);
            }
        }
    }
}

/// A connected client. Dropping it removes the client and tells the others.
struct Session<'a> {
    clients: &'a Clients,
    id: u64,
    nick: String,
    room: String,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.clients.lock().remove(&self.id);
        self.send_to_others("has left");
    }
}

impl Session<'_> {
    /// Enters under a name that is not in use. The receiver yields the lines to write.
    fn enter(clients: &Clients) -> (Session<'_>, Receiver<Arc<str>>) {
        let (queue, lines) = channel::bounded(QUEUE);
        let id = CONNECTED.fetch_add(1, Relaxed) + 1;
        let mut locked = clients.lock();
        let mut nick = format!("guest{id}");
        while locked.values().any(|client| client.nick == nick) {
            nick.push('_');
        }
        let client = Client {
            nick: nick.clone(),
            room: FIRST_ROOM.to_owned(),
            queue,
            missed: 0,
        };
        locked.insert(id, client);
        drop(locked);
        let session = Session {
            clients,
            id,
            nick,
            room: FIRST_ROOM.to_owned(),
        };
        session.answer(&format!(
            "welcome, {}; this is the {FIRST_ROOM}, and /help helps",
            session.nick
        ));
        session.send_to_others("has joined");
        (session, lines)
    }

    fn read_lines(mut self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
                self.answer("that line is too long for us; good bye");
                return Ok(());
            }
            // Control characters could be commands to a terminal.
            let text = String::from_utf8_lossy(&line);
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            let text = text.trim();
            match text.split_once(' ').unwrap_or((text, "")) {
                ("", _) => {}
                ("/nick", nick) => self.rename(nick.trim()),
                ("/join", room) => self.join(room.trim()),
                ("/who", _) => self.list(),
                ("/quit", _) => return Ok(()),
                (command, _) if command.starts_with('/') => self.send_to_self(COMMANDS),
                _ => {
                    let line = format!("<{}> {text}\n", self.nick);
                    self.clients.send(&self.room, self.id, &line);
                }
            }
        }
    }

    fn rename(&mut self, nick: &str) {
        if !is_name(nick) {
            return self.answer("a name has up to 20 letters and digits");
        }
        let mut locked = self.clients.lock();
        if locked.values().any(|client| client.nick == nick) {
            drop(locked);
            return self.answer(&format!("{nick} is here already"));
        }
        if let Some(client) = locked.get_mut(&self.id) {
            client.nick = nick.to_owned();
        }
        drop(locked);
        self.send_to_others(&format!("is now {nick}"));
        self.nick = nick.to_owned();
        self.answer(&format!("you are now {nick}"));
    }

    fn join(&mut self, room: &str) {
        if !is_name(room) {
            return self.answer("the name of a room has up to 20 letters and digits");
        }
        if let Some(client) = self.clients.lock().get_mut(&self.id) {
            client.room = room.to_owned();
        }
        self.send_to_others(&format!("has moved to {room}"));
        self.room = room.to_owned();
        self.send_to_others("has joined");
        self.answer(&format!("this is {room}"));
    }

    fn list(&self) {
        let locked = self.clients.lock();
        let here = locked.values().filter(|client| client.room == self.room);
        let nicks: Vec<&str> = here.map(|client| &*client.nick).collect();
        let line = format!("in {}: {}", self.room, nicks.join(", "));
        drop(locked);
        self.answer(&line);
    }

    fn answer(&self, text: &str) {
        self.send_to_self(&format!("* {text}\n"));
    }

    fn send_to_self(&self, line: &str) {
        if let Some(client) = self.clients.lock().get_mut(&self.id) {
            client.send(&line.into());
        }
    }

    fn send_to_others(&self, what: &str) {
        let line = format!("* {} {what}\n", self.nick);
        self.clients.send(&self.room, self.id, &line);
    }
}

fn is_name(text: &str) -> bool {
    (1..=20).contains(&text.chars().count()) && text.chars().all(char::is_alphanumeric)
}
