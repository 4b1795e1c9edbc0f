//! `resp`: the protocol, the commands, expiry, pipelining, rejected input.

use super::program::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Sends commands typed as lines, and checks the replies, line by line.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: &Server) -> Client {
        Client(BufReader::new(server.connect()))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    #[track_caller]
    fn ask(&mut self, command: &str, reply: &str) {
        self.send(format!("{command}\r\n"));
        for expected in reply.split('|') {
            assert_eq!(self.line(), expected, "{command}");
        }
    }
}

#[test]
fn the_commands() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0"]) else {
        return;
    };
    let mut client = Client::new(&server);
    for (command, reply) in [
        ("PING", "+PONG"),
        ("ping hello", "$5|hello"),
        ("echo 'a b'", "$3|a b"),
        (r#"echo "\x41\t\"""#, "$3|A\t\""),
        ("get a", "$-1"),
        ("set a 1", "+OK"),
        ("get a", "$1|1"),
        ("set a 2 nx", "$-1"),
        ("set b 2 xx", "$-1"),
        ("set a 3 xx get", "$1|1"),
        ("incr a", ":4"),
        ("incrby a -10", ":-6"),
        ("decr new", ":-1"),
        ("append a 0", ":3"),
        ("mget a none new", "*3|$3|-60|$-1|$2|-1"),
        ("exists a a none", ":2"),
        ("del a none new", ":2"),
        ("dbsize", ":0"),
        ("mset a 1 b 2", "+OK"),
        ("flushall", "+OK"),
        ("exists a b", ":0"),
        ("config get save", "*2|$4|save|$0|"),
        ("command docs", "*0"),
        ("select 0", "+OK"),
        ("select 1", "-ERR DB index is out of range"),
        ("set a x", "+OK"),
        ("incr a", "-ERR value is not an integer or out of range"),
        ("set a 9223372036854775807", "+OK"),
        ("incr a", "-ERR increment or decrement would overflow"),
        (
            "incrby a 01",
            "-ERR value is not an integer or out of range",
        ),
        (
            "decrby a -9223372036854775808",
            "-ERR value is not an integer or out of range",
        ),
        ("get", "-ERR wrong number of arguments for 'get' command"),
        (
            "mset a 1 b",
            "-ERR wrong number of arguments for 'mset' command",
        ),
        ("set a 1 nx xx", "-ERR syntax error"),
        ("set a 1 ex", "-ERR syntax error"),
        (
            "what is this",
            "-ERR unknown command 'what', with args beginning with: 'is' 'this' ",
        ),
        (
            "config set a b",
            "-ERR unknown subcommand 'set'. Try CONFIG HELP.",
        ),
        ("", "+PONG"),
    ] {
        // An empty line is no command.
        let command = if command.is_empty() {
            "\r\nping"
        } else {
            command
        };
        client.ask(command, reply);
    }
    client.ask("quit", "+OK");
    assert_eq!(client.line(), "");
    let said = server.interrupt();
    assert_eq!(said, "executed 39 commands\n");
}

/// A bulk string of lines, with the numbers of the runtime among them.
#[test]
fn info_has_the_numbers_of_the_runtime() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0", "--workers", "2"]) else {
        return;
    };
    let mut client = Client::new(&server);
    for command in ["info\r\n", "INFO server\r\n"] {
        client.send(command);
        let length: usize = client.line()[1..].parse().unwrap();
        let mut text = vec![0; length + 2];
        client.0.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        for expected in ["redis_version:7.0.0", "rustlet_workers:2", "# Rustlet"] {
            assert!(lines.contains(&expected), "no {expected} in {text}");
        }
        let steps = "rustlet_worker_steps_total{worker=\"0\"}:";
        assert!(lines.iter().any(|line| line.starts_with(steps)), "{text}");
    }
    client.ask("ping", "+PONG");
}

#[test]
fn keys_expire() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0"]) else {
        return;
    };
    let mut client = Client::new(&server);
    for (command, reply) in [
        ("ttl a", ":-2"),
        ("set a 1", "+OK"),
        ("ttl a", ":-1"),
        ("expire a 100", ":1"),
        ("ttl a", ":100"),
        ("incr a", ":2"),
        ("set a 3 keepttl", "+OK"),
        ("ttl a", ":100"),
        ("persist a", ":1"),
        ("persist a", ":0"),
        ("ttl a", ":-1"),
        ("set a 1 ex 100", "+OK"),
        ("set a 1", "+OK"),
        ("ttl a", ":-1"),
        ("expire none 1", ":0"),
        ("expire a 0", ":1"),
        ("exists a", ":0"),
        ("set a 1 ex 0", "-ERR invalid expire time in 'set' command"),
        (
            "set a 1 ex 9223372036854775807",
            "-ERR invalid expire time in 'set' command",
        ),
        (
            "set a 1 ex x",
            "-ERR value is not an integer or out of range",
        ),
        ("set a 1", "+OK"),
        (
            "expire a 9223372036854775807",
            "-ERR invalid expire time in 'expire' command",
        ),
        ("set b 1 px 1", "+OK"),
    ] {
        client.ask(command, reply);
    }
    // It disappears in the end, whether it was read or not.
    client.send("set c 1 px 1\r\n");
    assert_eq!(client.line(), "+OK");
    loop {
        client.send("dbsize\r\n");
        if client.line() == ":1" {
            break;
        }
    }
    client.ask("get b", "$-1");
}

#[test]
fn bytes_and_pipelines() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0", "--workers", "1"]) else {
        return;
    };
    let mut client = Client::new(&server);
    client.send(b"*3\r\n$3\r\nSET\r\n$3\r\n\0\r\n\r\n$4\r\n\r\n\xFF\0\r\n");
    assert_eq!(client.line(), "+OK");
    // A half command at the end does not delay the replies before it.
    client.send(b"*2\r\n$3\r\nget\r\n$3\r\n\0\r\n\r\nincr n\r\n*0\r\n*2\r\n$4\r\nincr");
    let mut value = [0; 10];
    client.0.read_exact(&mut value).unwrap();
    assert_eq!(&value, b"$4\r\n\r\n\xFF\0\r\n");
    assert_eq!(client.line(), ":1");
    client.send("\r\n$1\r\nn\r\n");
    assert_eq!(client.line(), ":2");

    let many = 10_000;
    client.send("incr many\r\n".repeat(many));
    for n in 1..=many {
        assert_eq!(client.line(), format!(":{n}"));
    }
    let large = "x".repeat(3_000_000);
    let command = format!(
        "*3\r\n$3\r\nset\r\n$1\r\nl\r\n${}\r\n{large}\r\n",
        large.len()
    );
    client.send(command);
    assert_eq!(client.line(), "+OK");
    client.send("get l\r\n");
    assert_eq!(client.line(), "$3000000");
    assert!(client.line() == large);
}

#[test]
fn an_invalid_command_ends_the_connection() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0"]) else {
        return;
    };
    for (sent, complaint) in [
        ("*1048577\r\n", "invalid multibulk length"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\r\n", "expected '$', got ' '"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$99999999999\r\n", "invalid bulk length"),
        ("*2\r\n$1\r\nx\r\n$67108864\r\n", "invalid bulk length"),
        ("get \"a\r\n", "unbalanced quotes in request"),
        ("get \"a\"b\r\n", "unbalanced quotes in request"),
        (&"x".repeat(64 * 1024), "too big inline request"),
    ] {
        let said = server.ask(sent);
        assert_eq!(said, format!("-ERR Protocol error: {complaint}\r\n"));
    }
    // Earlier commands are answered.
    let said = server.ask("ping\r\n*1\r\n$x\r\n");
    assert_eq!(
        said,
        "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"
    );
}

#[test]
fn many_clients_count_together() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0", "--workers", "2"]) else {
        return;
    };
    let mut clients: Vec<Client> = (0..50).map(|_| Client::new(&server)).collect();
    for client in &mut clients {
        client.send("incr n\r\n".repeat(20));
    }
    for client in &mut clients {
        let numbers = [(); 20].map(|()| client.line()[1..].parse::<u32>().unwrap());
        assert!(numbers.is_sorted());
    }
    clients[0].ask("get n", "$4|1000");
}

/// The client reads nothing until it has sent everything: far more than the buffers of a connection
/// hold, in both directions. Then all answers are there, in order.
#[test]
fn a_huge_pipeline_is_answered() {
    const COMMANDS: usize = 3_000;
    let Some(server) = Server::start("resp", &["127.0.0.1:0", "--workers", "1"]) else {
        return;
    };
    let mut client = Client::new(&server);
    let text = "x".repeat(10_000);
    client.send(format!("echo {text}\r\n").repeat(COMMANDS));
    for _ in 0..COMMANDS {
        assert_eq!(client.line(), "$10000");
        assert!(client.line() == text);
    }
    // It continues as before.
    client.ask("ping", "+PONG");
}

/// As before, but the client never reads: it is disconnected, and others are not affected.
#[test]
fn an_endless_pipeline_is_cut_off() {
    let Some(server) = Server::start("resp", &["127.0.0.1:0", "--workers", "1"]) else {
        return;
    };
    let mut greedy = server.connect();
    let commands = format!("echo {}\r\n", "x".repeat(10_000)).repeat(100);
    let mut sent = 0;
    while greedy.write_all(commands.as_bytes()).is_ok() {
        sent += commands.len();
        assert!(sent < 1_000_000_000, "it is never cut off");
    }
    assert!(sent >= 64 * 1024 * 1024, "{sent}");
    Client::new(&server).ask("ping", "+PONG");
}
