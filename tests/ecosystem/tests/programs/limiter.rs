//! The example `limiter`, and its connection, against a Redis server.

use redis::{Commands, Value, cmd, pipe};
use rustix::process::Signal;
use rustlet_ecosystem::works;

use rustlet_ecosystem::process::{Process, ask, bounded, installed, on_free_port, serve, text};

#[allow(dead_code, reason = "the example uses the manager")]
#[path = "../../examples/limiter/redis_stream.rs"]
mod redis_stream;

fn redis_server() -> Option<(Process, u16)> {
    let server = installed("redis-server")?;
    Some(on_free_port(
        "Ready to accept connections",
        Signal::TERM,
        |port| {
            let mut command = bounded(&server);
            command.args([
                "--port",
                port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ]);
            command
        },
    ))
}

#[test]
fn rate_limiter_with_redis() {
    let (Some((_redis, port)), Some(cli)) = (redis_server(), installed("redis-cli")) else {
        return;
    };
    let redis_cli = |args: &[&str]| {
        let mut command = bounded(&cli);
        let said = text(command.args(["-p", &port.to_string()]).args(args));
        said.trim_end().to_owned()
    };
    let redis = format!("127.0.0.1:{port}");
    // A window that no test outlives.
    let options = ["--limit", "10", "--window", "3600000", "--connections", "2"];
    let start = || {
        serve(
            "limiter",
            &[&options[..], &[&redis, "127.0.0.1:0"]].concat(),
        )
    };
    let (first, second) = (start(), start());

    // 8 clients of two limiters ask 10 times each.
    let ask_often = |address: &str| ask(address, &["alice"; 10]);
    let answers = std::thread::scope(|s| {
        let addresses = [&first.1, &second.1].repeat(4);
        let clients = addresses
            .into_iter()
            .map(|address| s.spawn(move || ask_often(address)));
        let clients: Vec<_> = clients.collect();
        let answers = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        answers.collect::<Vec<_>>()
    });
    let mut allowed: Vec<_> = answers
        .iter()
        .filter_map(|line| line.strip_prefix("yes "))
        .collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let refused = answers.iter().filter_map(|line| line.strip_prefix("no "));
    let waits: Vec<u64> = refused.map(|wait| wait.parse().unwrap()).collect();
    assert_eq!(waits.len(), 70);
    assert!(
        waits.iter().all(|wait| (1..=3_600_000).contains(wait)),
        "{waits:?}"
    );
    assert_eq!(redis_cli(&["GET", "limiter:alice"]), "80");

    // Redis forgets scripts and counters, and ends the connections.
    redis_cli(&["SCRIPT", "FLUSH"]);
    redis_cli(&["DEL", "limiter:alice"]);
    redis_cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(ask(&first.1, &["alice", "bob"]), ["yes 9", "yes 9"]);
    first.0.end();

    rustlet::run(|| commands(&redis, &redis_cli));
    works(
        "redis",
        "tests/ecosystem/examples/limiter/main.rs",
        "examples/limiter/redis_stream.rs",
        "Redis and redis-cli: two rate limiters that share counters, pipelines, transactions, \
         scripts, connections that the server ends",
    );
}

/// The blocking interface of the crate on a connection of rustlet.
fn commands(redis: &str, redis_cli: &dyn Fn(&[&str]) -> String) {
    let mut connection = redis_stream::Connection::open(redis).unwrap();
    let long = "x".repeat(3_000_000);
    connection.set::<_, _, ()>("long", &long).unwrap();
    assert_eq!(connection.strlen::<_, usize>("long").unwrap(), long.len());
    assert_eq!(connection.get::<_, String>("long").unwrap(), long);
    assert_eq!(connection.get::<_, Option<String>>("none").unwrap(), None);

    // An answer to each command of a pipeline, in order; an error is that of its command only.
    let mut commands = pipe();
    for n in 0..1000 {
        commands.cmd("RPUSH").arg("list").arg(n).ignore();
    }
    let (length, last): (u32, String) = commands
        .llen("list")
        .lindex("list", -1)
        .query(&mut connection)
        .unwrap();
    assert_eq!((length, last.as_str()), (1000, "999"));
    let wrong = pipe()
        .get("list")
        .get("none")
        .query::<Vec<Value>>(&mut connection);
    assert!(wrong.unwrap_err().to_string().contains("WRONGTYPE"));

    // A transaction.
    let (one, two): (i32, i32) = pipe()
        .atomic()
        .incr("n", 1)
        .incr("n", 1)
        .query(&mut connection)
        .unwrap();
    assert_eq!((one, two), (1, 2));
    assert_eq!(redis_cli(&["GET", "n"]), "2");

    // A connection whose answer was not received is not used again.
    let late = rustlet::timeout(rustlet::time::Duration::from_millis(10), || {
        cmd("BLPOP")
            .arg("empty")
            .arg(0)
            .query::<Value>(&mut connection)
    });
    late.unwrap_err();
    cmd("PING").exec(&mut connection).unwrap_err();
}
