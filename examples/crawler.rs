//! A thousand requests to a slow server, in four ways: one after the other, one process each, one
//! OS thread each, one green thread each. Prints what each way costs in time, CPU time and memory.
//!
//! What it shows: waiting for many things at once costs a green thread each, which is little. The
//! function that fetches is the same for all ways, and so is the code that starts one thread for
//! each request: `green_threads` differs from `os_threads` in the names of the modules.
//!
//! ```sh
//! cargo run --release --example crawler
//! cargo run --release --example crawler -- --runs 5 processes threads green
//! ```
//!
//! The server is another process, and each way runs in its own process, so that nothing is counted
//! twice. To try: `--requests 10000 green`, and the same with `threads`; `--latency 0`, where there
//! is nothing to wait for.

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use rustlet::net::Server;

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{Args, failure, misuse};

const HELP: &str = "\
[OPTIONS] [WAY]...

Compares ways to wait for many answers at once.

WAY              serial, processes, threads, green (default: all of them)
--requests N     how many requests (default 1000)
--runs N         run each way N times and show the quickest (default 1)
--latency MS     how long the server takes for each request (default 50)
--help           print this text";

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A way to make a number of requests to an address.
type Way = fn(&str, usize) -> Result;

const WAYS: [(&str, &str, Way); 4] = [
    ("serial", "one after the other", serial),
    ("processes", "a process each", processes),
    ("threads", "an OS thread each", os_threads),
    ("green", "a green thread each", green_threads),
];

fn serial(address: &str, requests: usize) -> Result {
    for _ in 0..requests {
        fetch(std::net::TcpStream::connect(address)?)?;
    }
    Ok(())
}

fn processes(address: &str, requests: usize) -> Result {
    let mut children = Vec::new();
    for _ in 0..requests {
        children.push(this_program().args(["--fetch", address]).spawn()?);
    }
    for mut child in children {
        if !child.wait()?.success() {
            return Err("a process has failed".into());
        }
    }
    Ok(())
}

fn os_threads(address: &str, requests: usize) -> Result {
    use std::net::TcpStream;
    use std::thread;

    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..requests {
            let fetch = || fetch(TcpStream::connect(address)?);
            threads.push(thread::Builder::new().spawn_scoped(scope, fetch)?);
        }
        for thread in threads {
            thread.join().map_err(|_| "a thread has panicked")??;
        }
        Ok(())
    })
}

fn green_threads(address: &str, requests: usize) -> Result {
    use rustlet::net::TcpStream;
    use rustlet::thread;

    rustlet::run(|| {
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..requests {
                let fetch = || fetch(TcpStream::connect(address)?);
                threads.push(thread::Builder::new().spawn_scoped(scope, fetch)?);
            }
            for thread in threads {
                thread.join().map_err(|_| "a thread has panicked")??;
            }
            Ok(())
        })
    })
}

/// One request, over a connection that was made for it.
fn fetch(mut connection: impl Read + Write) -> Result {
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole answer")?;
    if !head.starts_with("HTTP/1.0 200 ") || body != "hello\n" {
        return Err(format!("an unexpected answer: {answer:?}").into());
    }
    Ok(())
}

/// The server: answers each request after `latency`. Ends when its standard input is closed.
fn serve(latency: Duration) -> io::Result<()> {
    rustlet::run(|| {
        let server = Server::bind("127.0.0.1:0")?;
        println!("{}", server.local_addr()?);
        rustlet::spawn(move || {
            server.serve(move |mut stream| {
                let lines = BufReader::new(&stream).lines();
                // The request ends with an empty line.
                lines.map_while(io::Result::ok).find(String::is_empty);
                rustlet::sleep(latency);
                let answer = b"HTTP/1.0 200 OK\r\n\r\nhello\n";
                stream.write_all(answer).unwrap_or_default();
            })
        });
        rustlet::unblock(|| io::copy(&mut io::stdin(), &mut io::sink())).map(drop)
    })
}

fn main() -> ExitCode {
    support::main(HELP, |args| {
        // Each connection is an open file at both ends.
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = maximum;
        setrlimit(Resource::Nofile, Rlimit { current, maximum })?;

        // How the program runs itself: the server, a process of one request, one of the ways.
        if let Some(latency) = args.number("--serve", 0)? {
            return Ok(serve(Duration::from_millis(latency.into()))?);
        }
        if let Some(address) = args.value("--fetch")? {
            let connection = std::net::TcpStream::connect(address)?;
            return fetch(connection).map_err(failure);
        }
        let way = args.value("--way")?;
        let address = args.value("--address")?;
        let options = Options::read(args)?;
        match (way, address) {
            (Some(name), Some(address)) => run_way(&name, &address, options.requests),
            _ => compare(options),
        }
        .map_err(failure)
    })
}

/// Measures each way and prints the table.
fn compare(options: Options) -> Result {
    let Options {
        requests,
        latency,
        runs,
        ways,
    } = options;
    let mut server = this_program()
        .args(["--serve", &latency.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let address = answer(&mut server)?;

    println!("{requests} requests that take {latency} ms each");
    println!(
        "{:22}{:>12}{:>12}{:>12}{:>12}",
        "", "elapsed", "CPU time", "memory", "speed-up"
    );
    let mut first = None;
    for (name, description, _) in ways {
        let address = address.trim_end();
        let mut cost = measure(name, address, requests)?;
        for _ in 1..runs {
            let again = measure(name, address, requests)?;
            if again.elapsed < cost.elapsed {
                cost = again;
            }
        }
        let Cost {
            elapsed,
            cpu,
            memory,
        } = cost;
        let speed_up = *first.get_or_insert(elapsed) / elapsed;
        let memory = memory as f64 / 1e6;
        println!("{description:22}{elapsed:>10.3} s{cpu:>10.3} s{memory:>9.1} MB{speed_up:>11.1}×");
    }
    // Closing its standard input ends the server.
    drop(server.stdin.take());
    server.wait()?;
    Ok(())
}

/// The cost of a way, in seconds and bytes.
struct Cost {
    elapsed: f64,
    cpu: f64,
    memory: u64,
}

/// Runs a way in its own process and samples its memory until it ends.
fn measure(name: &str, address: &str, requests: usize) -> Result<Cost> {
    let mut child = this_program()
        .args(["--way", name, "--address", address])
        .args(["--requests", &requests.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut memory = 0;
    let status = loop {
        let begin = Instant::now();
        memory = memory.max(memory_of(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // The sampling must not take more than a small part of a core.
        sleep(Duration::from_millis(1).max(10 * begin.elapsed()));
    };
    let said = answer(&mut child)?;
    match said.trim_end().split_once(' ') {
        Some((elapsed, cpu)) if status.success() => Ok(Cost {
            elapsed: elapsed.parse()?,
            cpu: cpu.parse()?,
            memory,
        }),
        _ => Err(format!("{name} has failed").into()),
    }
}

/// In that process: runs the way and prints its seconds of elapsed and of CPU time.
fn run_way(name: &str, address: &str, requests: usize) -> Result {
    let way = WAYS.iter().find(|way| way.0 == name);
    let (_, _, way) = way.ok_or("no such way")?;
    let (begin, cpu_before) = (Instant::now(), cpu_time()?);
    way(address, requests)?;
    let cpu = cpu_time()? - cpu_before;
    println!("{} {cpu}", begin.elapsed().as_secs_f64());
    Ok(())
}

/// The CPU time of this process and of its children that have ended, in seconds.
fn cpu_time() -> Result<f64> {
    let own = clock_gettime(ClockId::ProcessCPUTime);
    let own = own.tv_sec as f64 + own.tv_nsec as f64 / 1e9;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("an odd /proc/self/stat")?;
    // cutime and cstime of proc(5), in ticks of 10 ms; the split has removed two fields.
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.map(|field| field.parse().unwrap_or(0)).sum();
    Ok(own + ticks as f64 / 100.0)
}

/// The private memory of a process and its children: written pages and their page tables, without
/// the 16 KiB stack that the kernel has for each process and OS thread. An ended process has none.
fn memory_of(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    children.chain([pid]).map(own_memory).sum()
}

fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    };
    let sum = kibibytes("RssAnon:").unwrap_or(0) + kibibytes("VmPTE:").unwrap_or(0);
    sum * 1024
}

fn this_program() -> Command {
    Command::new("/proc/self/exe")
}

/// The first line that a child prints.
fn answer(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    let output = child.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    Ok(line)
}

/// The command line.
struct Options {
    requests: usize,
    latency: u32,
    runs: u32,
    ways: Vec<(&'static str, &'static str, Way)>,
}

impl Options {
    fn read(args: &mut Args) -> support::Result<Options> {
        let mut options = Options {
            requests: args.number("--requests", 1)?.unwrap_or(1_000) as usize,
            latency: args.number("--latency", 0)?.unwrap_or(50),
            runs: args.number("--runs", 1)?.unwrap_or(1),
            ways: Vec::new(),
        };
        while let Some(word) = args.word()? {
            let way = WAYS.into_iter().find(|way| way.0 == word);
            let way = way.ok_or_else(|| misuse(format!("there is no way '{word}'")))?;
            options.ways.push(way);
        }
        args.end()?;
        if options.ways.is_empty() {
            options.ways = WAYS.to_vec();
        }
        Ok(options)
    }
}
