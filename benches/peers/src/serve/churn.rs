//! Loads other than an echo over lasting connections: connections that come and go, and wrk.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs this many clients at a time that connect, send one message, read it back and close. Returns
/// how many completed, and their p99 in microseconds.
pub(crate) fn run(
    address: SocketAddr,
    clients: usize,
    duration: Duration,
) -> io::Result<(u64, f64)> {
    let end = Instant::now() + duration;
    // Green threads are good enough as clients; each of the servers gets the same ones.
    let runtime = rustlet::Builder::new().workers(1).build()?;
    let mut latencies = runtime.run(|| -> io::Result<Vec<Duration>> {
        let threads: Vec<_> = (0..clients)
            .map(|_| rustlet::spawn(move || green_client(address, end)))
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("no panic")?);
        }
        Ok(all)
    })?;
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100);
    let p99 = p99.map_or(0.0, |time| time.as_secs_f64() * 1e6);
    Ok((latencies.len() as u64, p99))
}

fn green_client(address: SocketAddr, end: Instant) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut buffer = [0; 64];
    while Instant::now() < end {
        let start = Instant::now();
        let mut stream = rustlet::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(&[7; 64])?;
        stream.read_exact(&mut buffer)?;
        // Reset instead of TIME_WAIT, because ports would run out.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

/// Returns the requests that wrk saw answered, and the rate per second. `None` if wrk is not
/// installed.
pub(crate) fn wrk(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
) -> io::Result<Option<(f64, f64)>> {
    let seconds = duration.as_secs().max(1).to_string();
    let connections = connections.to_string();
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c", &connections, "-d", &seconds])
        .arg(format!("http://{address}/"));
    let output = match wrk.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => String::from_utf8_lossy(&output?.stdout).into_owned(),
    };
    let after = |key: &str| {
        let line = output.lines().find(|line| line.contains(key))?;
        line.split_whitespace()
            .find_map(|word| word.parse::<f64>().ok())
    };
    Ok(after("requests in").zip(after("Requests/sec")))
}
