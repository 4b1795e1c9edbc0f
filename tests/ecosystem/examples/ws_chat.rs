//! A chat over WebSocket with tungstenite. At `/echo` it sends each message back instead.
//!
//! What it shows: reading and writing at the same time. A WebSocket belongs to one thread, since
//! reading may write: a ping is answered. So each client has two green threads. One reads; what its
//! WebSocket writes goes into a queue. The other sends what is in the queue, to which the other
//! clients add what they say. A message is encoded once for all. A queue is bounded, and a client
//! that does not read is disconnected when its queue is full, so that it holds up nobody.
//!
//! ```sh
//! cargo run --example ws_chat -- 127.0.0.1:9001
//! python3 -m websockets ws://127.0.0.1:9001/alice
//! ```

mod serving;
#[path = "../../../examples/support/mod.rs"]
mod support;

use rustlet::channel::{self, Sender};
use rustlet::io::{self, Read, Write};
use rustlet::net::{Shutdown, TcpStream};
use rustlet::sync::Mutex;
use tungstenite::Message;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use bytes::Bytes;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] [ADDRESS]

Serves a chat over WebSocket, until Ctrl-C. The path of a client is its name; what it says goes to
all other clients. At /echo each message is sent back instead.

ADDRESS              where to listen (default 127.0.0.1:9001; port 0: the system chooses)
--queue N            how many frames may wait for a client (default 1000)
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let queue = args.number("--queue", 1)?.unwrap_or(1000) as usize;
        let address = args.word_or("127.0.0.1:9001")?;
        args.end()?;
        let room = Room::default();
        runtime.build()?.run(|| {
            serving::serve(&address, move |stream| {
                let stream = Arc::new(stream);
                // A client that reads nothing for so long is disconnected.
                drop(stream.set_write_timeout(Some(Duration::from_secs(30))));
                let (sender, frames) = channel::bounded::<Bytes>(queue);
                let writer = Arc::clone(&stream);
                let sending = rustlet::spawn(move || {
                    for frame in frames {
                        (&*writer).write_all(&frame)?;
                    }
                    writer.shutdown(Shutdown::Write)
                });
                if let Err(error) = converse(&room, Queued { stream, sender }) {
                    eprintln!("{error}");
                }
                // The connection lasts until the last frame was sent, or cannot be sent.
                if let Ok(Err(error)) = sending.join() {
                    eprintln!("{error}");
                }
            })
        })
    })
}

/// Reads from the socket; what is written goes into the queue.
struct Queued {
    stream: Arc<TcpStream>,
    sender: Sender<Bytes>,
}

impl Read for Queued {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(buffer)
    }
}

impl Write for Queued {
    /// Takes all of it: a frame that tungstenite writes is never mixed with another.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let queued = self.sender.send(Bytes::copy_from_slice(bytes));
        queued.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Room {
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    /// Increases with each member, so that two of the same name are told apart.
    joined: u64,
    present: HashMap<u64, Member>,
}

struct Member {
    stream: Arc<TcpStream>,
    sender: Sender<Bytes>,
}

impl Room {
    fn members(&self) -> rustlet::sync::MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, member: Member) -> Presence<'_> {
        let mut members = self.members();
        members.joined += 1;
        let id = members.joined;
        members.present.insert(id, member);
        Presence { room: self, id }
    }

    /// Sends a text to all members but `speaker`. Does not wait.
    fn say(&self, speaker: u64, text: &str) -> Result<(), tungstenite::Error> {
        let mut frame = Vec::new();
        let text = Bytes::copy_from_slice(text.as_bytes());
        Frame::message(text, OpCode::Data(Data::Text), true).format(&mut frame)?;
        let frame = Bytes::from(frame);
        self.members().present.retain(|&id, member| {
            let is_served = id == speaker || member.sender.try_send(frame.clone()).is_ok();
            if !is_served {
                // Its threads end when they notice.
                drop(member.stream.shutdown(Shutdown::Both));
            }
            is_served
        });
        Ok(())
    }
}

/// A member leaves when this is dropped.
struct Presence<'a> {
    room: &'a Room,
    id: u64,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.room.members().present.remove(&self.id);
    }
}

/// Serves one client until it closes the connection.
fn converse(room: &Room, stream: Queued) -> Result<(), tungstenite::Error> {
    let mut path = String::new();
    #[allow(clippy::result_large_err, reason = "tungstenite's type")]
    let look = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let accepted = tungstenite::accept_hdr(stream, look);
    let mut socket = accepted.map_err(|error| io::Error::other(error.to_string()))?;
    let name = path.trim_start_matches('/');
    let member = Member {
        stream: Arc::clone(&socket.get_ref().stream),
        sender: socket.get_ref().sender.clone(),
    };
    let presence = (name != "echo").then(|| room.join(member));
    if let Some(presence) = &presence {
        let others = room.members().present.len() - 1;
        socket.send(Message::text(format!(
            "welcome, {name}: {others} others are here"
        )))?;
        room.say(presence.id, &format!("{name} is here"))?;
    }
    let outcome = loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => match &presence {
                None => socket.send(message)?,
                Some(presence) => {
                    let text = message.to_text().unwrap_or("(bytes)");
                    room.say(presence.id, &format!("{name}: {text}"))?;
                }
            },
            // tungstenite answers pings and a close itself.
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if let Err(error) = &outcome {
        close(&mut socket, error);
    }
    outcome
}

/// Tells a client that has broken the protocol so.
fn close(socket: &mut tungstenite::WebSocket<Queued>, error: &tungstenite::Error) {
    use tungstenite::protocol::CloseFrame;
    use tungstenite::protocol::frame::coding::CloseCode;
    let code = match error {
        tungstenite::Error::Utf8(_) => CloseCode::Invalid,
        tungstenite::Error::Protocol(_) => CloseCode::Protocol,
        tungstenite::Error::Capacity(_) => CloseCode::Size,
        _ => return,
    };
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    // It may be closing already.
    drop(socket.close(Some(frame)));
    drop(socket.flush());
}
