//! Two endpoints that exchange messages: in one process, then in two. After Bluelet's examples.
//!
//! What it shows: the two sides of a conversation are written one below the other, each as it happens, and do not care whether the other is a
//! green thread beside them or another program. Messages are lines, over a TCP connection.
//!
//! ```sh
//! cargo run --release --example ipc
//! ```
//!
//! To try: `cargo run --release --example ipc -- --answer 127.0.0.1:PORT`, against an `nc -l PORT` in which you ask.

use rustlet::net::{TcpListener, TcpStream};
use rustlet::process::Command;
use rustlet::thread;

use std::env::{args, current_exe};
use std::io::{self, BufRead, BufReader, Write};

fn main() -> io::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => rustlet::run(|| {
            in_one_process()?;
            in_two_processes()
        }),
        ["--answer", address] => rustlet::run(|| answer(Endpoint::connect(address)?)),
        _ => {
            eprintln!("usage: ipc [--answer ADDRESS]");
            std::process::exit(2);
        }
    }
}

fn in_one_process() -> io::Result<()> {
    println!("in one process:");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let answering = thread::spawn(move || answer(Endpoint::connect(&address)?));
    ask(Endpoint::accept(&listener)?)?;
    answering
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn in_two_processes() -> io::Result<()> {
    println!("in two processes:");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let mut other = Command::new(current_exe()?)
        .args(["--answer", &address])
        .spawn()?;
    ask(Endpoint::accept(&listener)?)?;
    println!("the other process: {}", other.wait()?);
    Ok(())
}

/// One side.
fn ask(mut other: Endpoint) -> io::Result<()> {
    for question in ["6 * 7", "1 + 2 + 3", "what?"] {
        other.send(question)?;
        let answer = other.receive()?.unwrap_or_default();
        println!("  {question} = {answer}");
    }
    other.send("bye")
}

/// The other side.
fn answer(mut other: Endpoint) -> io::Result<()> {
    while let Some(question) = other.receive()? {
        if question == "bye" {
            break;
        }
        let numbers = |operator: char| {
            let numbers = question
                .split(operator)
                .map(|number| number.trim().parse::<u32>());
            numbers.collect::<Result<Vec<_>, _>>().ok()
        };
        let value = numbers('+')
            .map(|terms| terms.iter().sum::<u32>())
            .or_else(|| Some(numbers('*')?.iter().product()));
        match value {
            Some(value) => other.send(&value.to_string())?,
            None => other.send("I do not know")?,
        }
    }
    Ok(())
}

/// One end of a connection over which messages go.
struct Endpoint {
    incoming: BufReader<TcpStream>,
    outgoing: TcpStream,
}

impl Endpoint {
    fn connect(address: &str) -> io::Result<Endpoint> {
        Endpoint::new(TcpStream::connect(address)?)
    }

    fn accept(listener: &TcpListener) -> io::Result<Endpoint> {
        Endpoint::new(listener.accept()?.0)
    }

    fn new(stream: TcpStream) -> io::Result<Endpoint> {
        stream.set_nodelay(true)?;
        Ok(Endpoint {
            outgoing: stream.try_clone()?,
            incoming: BufReader::new(stream),
        })
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        self.outgoing.write_all(format!("{message}\n").as_bytes())
    }

    /// None when the other end is gone.
    fn receive(&mut self) -> io::Result<Option<String>> {
        (&mut self.incoming).lines().next().transpose()
    }
}
