//! A crawler: follows the links of a site with ureq, many pages at a time.
//!
//! What it shows: a blocking HTTP client, each request a green thread. ureq lets a program replace
//! its sockets; [`ureq_transport`] gives it those of rustlet. A [`TaskGroup`] limits how many
//! requests run, and hands out their results as they come. HTTPS works like HTTP: rustls is above
//! the socket.
//!
//! ```sh
//! cargo run --example crawl -- http://127.0.0.1:8000/
//! ```

#[path = "../../../../examples/support/mod.rs"]
mod support;
mod ureq_transport;

use support::{cannot, misuse};

use rustlet::thread::TaskGroup;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use std::collections::HashSet;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] URL

Fetches a page and all pages of its server that can be reached from it by links, and prints each
with its status and its size.

URL                  where to begin
--connections N      how many requests at a time (default 20)
--pages N            how many pages at most (default 1000)
--timeout MS         how long a request may take (default 10000)
--ca FILE            trust the certificates in this file, for HTTPS
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

/// The length of the longest page that is read, in bytes.
const MAX_PAGE: u64 = 1024 * 1024;

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let connections = args.number("--connections", 1)?.unwrap_or(20) as usize;
        let pages = args.number("--pages", 1)?.unwrap_or(1000) as usize;
        let limit = args.milliseconds("--timeout")?;
        let ca = args.value("--ca")?;
        let url = args.word()?.ok_or_else(|| misuse("a URL is needed"))?;
        args.end()?;
        let start: Uri = url.parse()?;
        if start.authority().is_none() {
            return Err(misuse(
                "the URL needs a server, as in http://127.0.0.1:8000/",
            ));
        }
        let mut tls = TlsConfig::builder();
        if let Some(file) = ca {
            tls = tls.root_certs(trusted(&file)?);
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limit.unwrap_or(Duration::from_secs(10))))
            .max_idle_connections_per_host(connections)
            .http_status_as_error(false)
            .tls_config(tls.build());
        let agent = ureq_transport::agent(config.build());
        runtime
            .build()?
            .run(|| crawl(&agent, &start, connections, pages))
    })
}

fn trusted(file: &str) -> support::Result<RootCerts> {
    let text = fs::read(file).map_err(cannot("read", file))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item? {
            certificates.push(certificate);
        }
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// What a request has found.
struct Page {
    path: String,
    outcome: Result<(u16, String), ureq::Error>,
}

/// Fetches pages until there is no link that was not followed.
fn crawl(agent: &ureq::Agent, start: &Uri, connections: usize, pages: usize) -> support::Result {
    let mut found = HashSet::from([start.path().to_owned()]);
    let mut waiting = vec![start.path().to_owned()];
    let mut requests = TaskGroup::new();
    let (mut fetched, mut failed) = (0, 0);
    loop {
        while requests.len() < connections {
            let Some(path) = waiting.pop() else { break };
            let agent = agent.clone();
            let url = Uri::builder()
                .scheme(start.scheme_str().unwrap_or("http"))
                .authority(start.authority().map_or("", |authority| authority.as_str()))
                .path_and_query(path.as_str())
                .build()?;
            requests.spawn(move || {
                let outcome = fetch(&agent, url);
                Page { path, outcome }
            });
        }
        let Some(page) = requests.join_next() else {
            break;
        };
        let Ok(Page { path, outcome }) = page else {
            return Err(support::failure("a request panicked"));
        };
        match outcome {
            Ok((status, text)) => {
                println!("{status} {} {path}", text.len());
                fetched += 1;
                for link in links(&text, &path) {
                    if found.len() < pages && found.insert(link.clone()) {
                        waiting.push(link);
                    }
                }
            }
            Err(error) => {
                println!("failed {path}: {error}");
                failed += 1;
            }
        }
    }
    println!("{fetched} pages, {failed} failed");
    Ok(())
}

fn fetch(agent: &ureq::Agent, url: Uri) -> Result<(u16, String), ureq::Error> {
    let mut response = agent.get(url).call()?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config();
    Ok((
        status,
        body.limit(MAX_PAGE).lossy_utf8(true).read_to_string()?,
    ))
}

/// Returns the paths on the same server that a page links to.
fn links(page: &str, path: &str) -> Vec<String> {
    let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
    let targets = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let targets = targets.map(|target| target.split(['#', '?']).next().unwrap_or_default());
    let of_this_server = targets
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.starts_with("//"));
    let absolute = of_this_server.map(|target| {
        if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("{folder}{target}")
        }
    });
    absolute.collect()
}
