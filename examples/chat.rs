//! A chat server: rooms, over TCP, for people with `nc`.
//!
//! What it shows: one green thread a direction. The one that reads a client's lines tells them to the others in the room; the one that
//! writes takes what it is told from a queue. The queues are bounded, and nobody waits for room in one: who reads slowly holds
//! up nobody, misses lines, is told how many, and is dropped when nothing can be written for long.
//! The lock is rustlet's, so it may be held across calls that suspend.
//!
//! ```sh
//! cargo run --release --example chat
//! ```
//!
//! To try against it, in several terminals: `nc 127.0.0.1 7070`, then a line of text, `/nick NAME`, `/join ROOM`, `/who`, `/quit`. To be slow, stop an
//! `nc` with Ctrl-Z, let another send a lot (`yes | nc 127.0.0.1 7070`), and go on with `fg`.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

use rustlet::channel::{self, Receiver, Sender, select};
use rustlet::net::{Server, Shutdown, TcpStream};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::sync::{Mutex, MutexGuard};
use rustlet::thread;

use std::collections::BTreeMap;
use std::env::args;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem::take;
use std::panic::resume_unwind;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const HELP: &str = "\
A chat server for nc, until Ctrl-C.

usage: chat [OPTIONS] [ADDRESS]

ADDRESS            where to listen, 127.0.0.1:7070 if not given; port 0 lets the system choose
--people N         so many at a time, 1000 if not given; others wait
--workers N        run on so many workers (OS threads), one per core if not given
--help             print this text";

const COMMANDS: &str =
    "* /nick NAME, /join ROOM, /who, /quit; anything else is said to all in the room\n";
const FIRST_ROOM: &str = "hall";

/// The longest line that is taken, in bytes.
const LONGEST_LINE: u64 = 1024;
/// So many lines wait for a client. What comes on top is missed.
const QUEUE: usize = 256;
/// A client is dropped when it has taken nothing for so long.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// How many have come since the beginning.
static COME: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let options = options().unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    let mut builder = rustlet::Builder::new();
    if let Some(workers) = options.workers {
        builder = builder.workers(workers);
    }
    builder.build()?.run(|| serve(&options))
}

/// Serves until Ctrl-C. Who is connected then is cancelled when this returns.
fn serve(options: &Options) -> io::Result<()> {
    let server = Server::bind(&options.address)?.max_connections(options.people);
    let told_to_end = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let house = House::default();
    let serving = thread::spawn(move || {
        server.serve(move |stream| {
            // Whoever leaves without a word has left all the same.
            drop(welcome(&house, &stream));
        })
    });
    select! {
        recv(told_to_end) -> _ => {}
        recv(serving.done()) -> _ => return serving.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
    Ok(())
}

/// One client, from the first line to the last: reads here, and writes in a green thread beside.
fn welcome(house: &House, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_WITHIN))?;
    thread::scope(|scope| {
        let (guest, lines) = Guest::enter(house);
        let id = guest.id;
        scope.spawn(move || {
            if write_lines(house, id, &lines, stream).is_err() {
                // Ends the reading too.
                drop(stream.shutdown(Shutdown::Both));
            }
        });
        // Leaving ends the queue, and so the writing, which the scope waits for.
        guest.read_lines(stream)
    })
}

/// Writes what there is to be told, as much as there is at a time.
fn write_lines(
    house: &House,
    id: u64,
    lines: &Receiver<Arc<str>>,
    mut stream: &TcpStream,
) -> io::Result<()> {
    while let Ok(first) = lines.recv() {
        let mut text = first.to_string();
        // While the house is locked nobody adds lines: those that were missed come behind all that are in the queue.
        let mut people = house.lock();
        text.extend(lines.try_iter().map(|line| line.to_string()));
        let missed = people
            .get_mut(&id)
            .map_or(0, |person| take(&mut person.missed));
        drop(people);
        if missed > 0 {
            text += &format!("* you read too slowly, and missed {missed} lines\n");
        }
        stream.write_all(text.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}

/// Everybody, by the number that each got at the door.
#[derive(Default)]
struct House(Mutex<BTreeMap<u64, Person>>);

struct Person {
    nick: String,
    room: String,
    queue: Sender<Arc<str>>,
    missed: usize,
}

impl Person {
    /// Never waits.
    fn tell(&mut self, line: &Arc<str>) {
        if self.queue.try_send(Arc::clone(line)).is_err() {
            self.missed += 1;
        }
    }
}

impl House {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Person>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all in a room, but for one.
    fn tell(&self, room: &str, but: u64, line: &str) {
        let line = line.into();
        for (id, person) in self.lock().iter_mut() {
            if person.room == room && *id != but {
                person.tell(&line);
            }
        }
    }
}

/// A person's place in the house, which is given up with it.
struct Guest<'a> {
    house: &'a House,
    id: u64,
    nick: String,
    room: String,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.house.lock().remove(&self.id);
        self.tell_others("has left");
    }
}

impl Guest<'_> {
    /// Comes in, under a name that nobody else has. The receiver gives what there is to be written.
    fn enter(house: &House) -> (Guest<'_>, Receiver<Arc<str>>) {
        let (queue, lines) = channel::bounded(QUEUE);
        let id = COME.fetch_add(1, Relaxed) + 1;
        let mut people = house.lock();
        let mut nick = format!("guest{id}");
        while people.values().any(|person| person.nick == nick) {
            nick.push('_');
        }
        let person = Person {
            nick: nick.clone(),
            room: FIRST_ROOM.to_owned(),
            queue,
            missed: 0,
        };
        people.insert(id, person);
        drop(people);
        let guest = Guest {
            house,
            id,
            nick,
            room: FIRST_ROOM.to_owned(),
        };
        guest.answer(&format!(
            "welcome, {}; this is the {FIRST_ROOM}, and /help helps",
            guest.nick
        ));
        guest.tell_others("has come");
        (guest, lines)
    }

    fn read_lines(mut self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            if line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
                self.answer("that line is too long for us; good bye");
                return Ok(());
            }
            // What a terminal might take for an order stays out.
            let text = String::from_utf8_lossy(&line);
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            let text = text.trim();
            match text.split_once(' ').unwrap_or((text, "")) {
                ("", _) => {}
                ("/nick", nick) => self.rename(nick.trim()),
                ("/join", room) => self.join(room.trim()),
                ("/who", _) => self.list(),
                ("/quit", _) => return Ok(()),
                (command, _) if command.starts_with('/') => self.tell_self(COMMANDS),
                _ => {
                    let line = format!("<{}> {text}\n", self.nick);
                    self.house.tell(&self.room, self.id, &line);
                }
            }
        }
    }

    fn rename(&mut self, nick: &str) {
        if !is_name(nick) {
            return self.answer("a name has up to 20 letters and digits");
        }
        let mut people = self.house.lock();
        if people.values().any(|person| person.nick == nick) {
            drop(people);
            return self.answer(&format!("{nick} is here already"));
        }
        if let Some(person) = people.get_mut(&self.id) {
            person.nick = nick.to_owned();
        }
        drop(people);
        self.tell_others(&format!("is now {nick}"));
        self.nick = nick.to_owned();
        self.answer(&format!("you are now {nick}"));
    }

    fn join(&mut self, room: &str) {
        if !is_name(room) {
            return self.answer("the name of a room has up to 20 letters and digits");
        }
        if let Some(person) = self.house.lock().get_mut(&self.id) {
            person.room = room.to_owned();
        }
        self.tell_others(&format!("has gone to {room}"));
        self.room = room.to_owned();
        self.tell_others("has come");
        self.answer(&format!("this is {room}"));
    }

    fn list(&self) {
        let people = self.house.lock();
        let here = people.values().filter(|person| person.room == self.room);
        let nicks: Vec<&str> = here.map(|person| &*person.nick).collect();
        let line = format!("in {}: {}", self.room, nicks.join(", "));
        drop(people);
        self.answer(&line);
    }

    fn answer(&self, text: &str) {
        self.tell_self(&format!("* {text}\n"));
    }

    fn tell_self(&self, line: &str) {
        if let Some(person) = self.house.lock().get_mut(&self.id) {
            person.tell(&line.into());
        }
    }

    fn tell_others(&self, what: &str) {
        let line = format!("* {} {what}\n", self.nick);
        self.house.tell(&self.room, self.id, &line);
    }
}

fn is_name(text: &str) -> bool {
    (1..=20).contains(&text.chars().count()) && text.chars().all(char::is_alphanumeric)
}

/// What the command line asks for.
struct Options {
    address: String,
    people: usize,
    workers: Option<usize>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        address: "127.0.0.1:7070".into(),
        people: 1_000,
        workers: None,
    };
    let mut args = args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            let number = text.parse::<u32>().ok().filter(|&n| n > 0);
            number.ok_or(format!("{arg} wants a number above 0, not '{text}'"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--people" => options.people = number()? as usize,
            "--workers" => options.workers = Some(number()? as usize),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => options.address = arg,
        }
    }
    Ok(options)
}
