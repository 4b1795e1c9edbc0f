//! Two endpoints that exchange messages, in one process and then in two. After Bluelet's examples.
//!
//! What it shows: each side of a conversation is sequential code, and does not care whether the
//! other side is a green thread of the same program or another program. Messages are lines over
//! TCP.
//!
//! ```sh
//! cargo run --release --example ipc
//! ```
//!
//! To try: `nc -l 7000` in one terminal and
//! `cargo run --release --example ipc -- --answer 127.0.0.1:7000` in another; then type `6 * 7`
//! into the first.

mod support;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::process::Command;
use rustlet::thread;

use std::env::current_exe;
use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;

use support::cannot;

const HELP: &str = "\
[OPTIONS]

Asks and answers questions, in one process and then in two.

--answer ADDRESS    connect to this address and answer only
--help              print this text";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let answer_to = args.value("--answer")?;
        args.end()?;
        rustlet::run(|| match answer_to {
            Some(address) => {
                let other = Endpoint::connect(&address).map_err(cannot("connect to", &address))?;
                Ok(answer(other)?)
            }
            None => {
                in_one_process()?;
                Ok(in_two_processes()?)
            }
        })
    })
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

/// The side that asks.
fn ask(mut other: Endpoint) -> io::Result<()> {
    for question in ["6 * 7", "1 + 2 + 3", "what?"] {
        other.send(question)?;
        let answer = other.receive()?.unwrap_or_default();
        println!("  {question} = {answer}");
    }
    other.send("bye")
}

/// The side that answers.
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

/// One end of a connection that carries messages.
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

    /// The next message, or `None` when the other side has closed the connection.
    fn receive(&mut self) -> io::Result<Option<String>> {
        (&mut self.incoming).lines().next().transpose()
    }
}
