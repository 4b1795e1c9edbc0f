//! A rate limiter whose counters are in Redis, so that any number of instances share one limit.
//!
//! What it shows: a blocking client on green threads. The crate redis opens std's sockets, but its
//! commands need only its trait `ConnectionLike`, which `Connection` in [`redis_stream`] implements
//! over a socket of rustlet. A client of the limiter has a green thread; the connections to Redis
//! are few, and come from a pool.
//!
//! A client sends a name in each line, such as the address of its own client, and receives a line:
//! `yes N` if the name may do something (N is how often it still may), otherwise `no MS` (in so
//! many milliseconds its next window begins).
//!
//! ```sh
//! cargo run --example limiter -- 127.0.0.1:6379
//! printf 'alice\nalice\nbob\n' | nc -N 127.0.0.1 7878
//! ```

mod redis_stream;
#[path = "../serving/mod.rs"]
mod serving;
#[path = "../../../../examples/support/mod.rs"]
mod support;

use redis_stream::Connect;
use support::misuse;

use redis::Script;
use rustlet::io::{self, BufRead, BufReader, Read, Write};
use rustlet::net::TcpStream;
use rustlet::pool::Pool;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] REDIS [ADDRESS]

Says how often a name may still do something, until Ctrl-C.

REDIS                the address of a Redis server
ADDRESS              where to listen (default 127.0.0.1:7878; port 0: the system chooses)
--limit N            how often in a window (default 10)
--window MS          the length of a window (default 1000)
--connections N      how many connections to Redis (default 4)
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

/// The length of the longest name, in bytes.
const MAX_NAME: u64 = 256;
/// How long Redis may take.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts one use of `KEYS[1]` in a window of `ARGV[1]` milliseconds. Redis runs a script as a
/// whole, so no other client's command comes between.
const COUNT: &str = r"
    local used = redis.call('INCR', KEYS[1])
    if used == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return {used, redis.call('PTTL', KEYS[1])}";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let limit = args.number("--limit", 1)?.unwrap_or(10);
        let window = args.milliseconds("--window")?;
        let connections = args.number("--connections", 1)?.unwrap_or(4);
        let redis = args
            .word()?
            .ok_or_else(|| misuse("the address of REDIS is needed"))?;
        let address = args.word_or("127.0.0.1:7878")?;
        args.end()?;
        let limiter = Limiter {
            pool: Pool::new(connections as usize, Connect(redis)),
            script: Script::new(COUNT),
            limit: limit.into(),
            window: window.unwrap_or(Duration::from_secs(1)),
        };
        runtime.build()?.run(|| {
            serving::serve(&address, move |stream| {
                // The client is gone, or sends what is no name.
                drop(converse(&limiter, &stream));
            })
        })
    })
}

/// Answers each line of a client.
fn converse(limiter: &Limiter, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut name = String::new();
        reader.by_ref().take(MAX_NAME).read_line(&mut name)?;
        let Some(name) = name.strip_suffix('\n') else {
            return Ok(());
        };
        // A time limit around the call: after it, the connection to Redis is not used any more.
        let answer = rustlet::timeout(REDIS_TIMEOUT, || limiter.ask(name));
        let answer = match answer.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(Answer::Yes(left)) => format!("yes {left}\n"),
            Ok(Answer::No(wait)) => format!("no {wait}\n"),
            Err(error) => format!("error {error}\n"),
        };
        (&*stream).write_all(answer.as_bytes())?;
    }
}

enum Answer {
    /// It may, and so often again.
    Yes(u64),
    /// It may not for so many milliseconds.
    No(i64),
}

struct Limiter {
    pool: Pool<Connect>,
    script: Script,
    limit: u64,
    window: Duration,
}

impl Limiter {
    fn ask(&self, name: &str) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let mut connection = self.pool.get()?;
        let window = self.window.as_millis() as u64;
        let mut call = self.script.key(format!("limiter:{name}"));
        let (used, rest): (u64, i64) = call.arg(window).invoke(&mut *connection)?;
        Ok(match self.limit.checked_sub(used) {
            Some(left) => Answer::Yes(left),
            None => Answer::No(rest),
        })
    }
}
