//! `chat`: rooms, names, commands, slow readers.

use super::program::Server;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

struct Client(BufReader<TcpStream>);

impl Client {
    /// A client that has been welcomed, as `guestN`.
    fn new(server: &Server, number: u32) -> Client {
        let mut client = Client(BufReader::new(server.connect()));
        client.hears(&format!(
            "* welcome, guest{number}; this is the hall, and /help helps"
        ));
        client
    }

    fn say(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }
}

#[test]
fn people_talk_in_rooms() {
    let Some(server) = Server::start("chat", &["127.0.0.1:0"]) else {
        return;
    };
    let mut anna = Client::new(&server, 1);
    anna.say("/nick Anna");
    anna.hears("* you are now Anna");
    let mut berta = Client::new(&server, 2);
    anna.hears("* guest2 has joined");
    berta.say("/nick Anna");
    berta.hears("* Anna is here already");
    berta.say("/nick <b>");
    berta.hears("* a name has up to 20 letters and digits");
    berta.say("/nick Берта");
    berta.hears("* you are now Берта");
    anna.hears("* guest2 is now Берта");
    berta.say("/who");
    berta.hears("* in hall: Anna, Берта");

    anna.say("hello \x1b[2J there\r");
    berta.hears("<Anna> hello [2J there");
    anna.say("/join kitchen");
    anna.hears("* this is kitchen");
    berta.hears("* Anna has moved to kitchen");
    anna.say("an empty room");
    anna.say("/who");
    anna.hears("* in kitchen: Anna");
    berta.say("nor this");
    berta.say("/join kitchen");
    anna.hears("* Берта has joined");
    berta.hears("* this is kitchen");
    berta.say("/what");
    berta.hears("* /nick NAME, /join ROOM, /who, /quit; anything else is said to all in the room");

    berta.say("/quit");
    berta.hears("");
    anna.hears("* Берта has left");
    let mut carla = Client::new(&server, 3);
    carla.say("/join kitchen");
    carla.hears("* this is kitchen");
    anna.hears("* guest3 has joined");
    // Before sending anything, and in the middle of a line.
    carla.0.get_mut().write_all(b"good").unwrap();
    drop(carla);
    anna.hears("<guest3> good");
    anna.hears("* guest3 has left");
    anna.say(&"x".repeat(2_000));
    anna.hears("* that line is too long for us; good bye");
    server.interrupt();
}

#[test]
fn a_slow_reader_blocks_no_other_and_is_told() {
    const LINES: usize = 12_000;
    let Some(server) = Server::start("chat", &["127.0.0.1:0", "--workers", "1"]) else {
        return;
    };
    let mut slow = Client::new(&server, 1);
    set_socket_recv_buffer_size(slow.0.get_ref(), 4096).unwrap();
    let mut fast = Client::new(&server, 2);
    slow.hears("* guest2 has joined");
    let mut speaker = Client::new(&server, 3);
    slow.hears("* guest3 has joined");
    fast.hears("* guest3 has joined");

    let text = "x".repeat(990);
    for number in 0..LINES {
        speaker.say(&format!("{number} {text}"));
        // In step, so that the fast client misses nothing.
        fast.hears(&format!("<guest3> {number} {text}"));
    }
    speaker.say("/quit");
    speaker.hears("");
    fast.hears("* guest3 has left");

    // Now it reads: the received messages and the reported number of missed ones add up to all.
    set_socket_recv_buffer_size(slow.0.get_ref(), 1 << 20).unwrap();
    let (mut heard, mut missed, mut next) = (0, 0, 0);
    while heard + missed < LINES + 1 {
        let line = slow.line();
        if let Some(said) = line.strip_prefix("<guest3> ") {
            let number: usize = said.split(' ').next().unwrap().parse().unwrap();
            assert!(number >= next, "{number} came after {next}");
            (heard, next) = (heard + 1, number + 1);
        } else if let Some(count) = line.strip_prefix("* you read too slowly, and missed ") {
            missed += count
                .strip_suffix(" lines")
                .unwrap()
                .parse::<usize>()
                .unwrap();
        } else {
            assert_eq!(line, "* guest3 has left");
            heard += 1;
        }
    }
    assert_eq!(heard + missed, LINES + 1);
    assert!(
        missed > 0,
        "the system's buffers are larger than this test knows"
    );
}
