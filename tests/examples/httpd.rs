//! `httpd`: files, listings, files that must stay private, conditions, ranges, pipelining, limits,
//! and shutdown.

use super::program::{Folder, Server};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

const TEXT: &str = "0123456789";
/// Modification time of `digits.txt`: with a fraction of a second, as files have.
const CHANGED: Duration = Duration::from_millis(784_111_777_250);
const CHANGED_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A folder with files of each kind, and a secret beside it.
struct Site {
    server: Server,
    folder: Folder,
}

impl Site {
    fn start(options: &[&str]) -> Option<Site> {
        let folder = Folder::new();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub dir/deep")).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(root.join("digits.txt"), TEXT).unwrap();
        let file = fs::File::options()
            .write(true)
            .open(root.join("digits.txt"));
        file.unwrap().set_modified(UNIX_EPOCH + CHANGED).unwrap();
        fs::write(root.join("empty"), "").unwrap();
        fs::write(root.join("<b>&\"a:b\".html"), "<p>").unwrap();
        fs::write(root.join("sub dir/deep/index.html"), "the index").unwrap();
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join(".git/config"), "secret").unwrap();
        fs::write(root.join(".env"), "secret").unwrap();
        fs::write(root.join("sub dir/..env"), "secret").unwrap();
        symlink("../digits.txt", root.join("sub dir/inside")).unwrap();
        symlink("../../secret", root.join("sub dir/outside")).unwrap();
        symlink(folder.path(), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let mut args = options.to_vec();
        args.extend([root.to_str().unwrap(), "127.0.0.1:0"]);
        let server = Server::start("httpd", &args)?;
        Some(Site { server, folder })
    }

    fn connect(&self) -> Client {
        Client(BufReader::new(self.server.connect()))
    }

    /// Sends one request, with header lines such as `Range: bytes=0-4`.
    fn get(&self, path: &str, headers: &[&str]) -> Reply {
        self.connect().get(path, headers)
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn get(&mut self, path: &str, headers: &[&str]) -> Reply {
        self.send(&request("GET", path, headers));
        self.reply(true)
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn reply(&mut self, with_body: bool) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = self.0.read_line(&mut head).unwrap();
            assert_ne!(length, 0, "the connection ended after {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        if with_body && status != 304 {
            let length = reply.header("content-length").unwrap();
            reply.body.resize(length.parse().unwrap(), 0);
            self.0.read_exact(&mut reply.body).unwrap();
        }
        reply
    }

    fn has_ended(&mut self) -> bool {
        self.0.read(&mut [0]).unwrap() == 0
    }
}

fn request(method: &str, path: &str, headers: &[&str]) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

#[test]
fn metrics_are_served_on_request_only() {
    let Some(site) = Site::start(&["--metrics", "--workers", "2"]) else {
        return;
    };
    let mut client = site.connect();
    client.get("/digits.txt", &[]);
    let reply = client.get("/metrics", &[]);
    assert_eq!(reply.status, 200);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(kind));
    let text = reply.text();
    assert!(text.contains("\nrustlet_workers 2\n"), "{text}");
    // One for the file; the metrics themselves need none.
    assert!(text.contains("\nrustlet_pool_calls_total "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let Some(site) = Site::start(&[]) else { return };
    assert_eq!(site.get("/metrics", &[]).status, 404);
}

/// A line for each request, also for those without a file.
#[test]
fn requests_are_logged() {
    let folder = Folder::new();
    let log = folder.path().join("log");
    let Some(site) = Site::start(&["--log", log.to_str().unwrap()]) else {
        return;
    };
    site.get("/digits.txt", &[]);
    site.get("/none%0a", &[]);
    let logged = fs::read_to_string(&log).unwrap();
    assert_eq!(logged, "200 /digits.txt\n404 /none\\n\n");
}

#[test]
fn serves_files_and_listings() {
    let Some(site) = Site::start(&[]) else { return };
    let mut client = site.connect();

    let file = client.get("/digits.txt", &[]);
    assert_eq!((file.status, file.text()), (200, TEXT));
    assert_eq!(
        file.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(file.header("last-modified"), Some(CHANGED_TEXT));
    assert_eq!(client.get("/empty", &[]).text(), "");
    assert_eq!(client.get("/sub%20dir/inside", &[]).text(), TEXT);
    assert_eq!(
        client.get("/sub%20dir/../digits.txt?x=../y", &[]).text(),
        TEXT
    );
    assert_eq!(client.get("http://test/digits.txt", &[]).text(), TEXT);

    let list = client.get("/", &[]);
    assert_eq!(
        list.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let text = list.text();
    assert!(
        text.contains("<a href=\"sub%20dir/\">sub dir/</a>"),
        "{text}"
    );
    let odd = "<a href=\"%3Cb%3E%26%22a%3Ab%22.html\">&lt;b&gt;&amp;&quot;a:b&quot;.html</a>";
    assert!(text.contains(odd), "{text}");
    assert!(!text.contains("<b>"), "{text}");
    assert_eq!(client.get("/%3Cb%3E%26%22a%3Ab%22.html", &[]).text(), "<p>");
    assert_eq!(client.get("/sub%20dir/deep/", &[]).text(), "the index");

    client.send(&request("HEAD", "/digits.txt", &[]));
    let head = client.reply(false);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    // If the HEAD had a body, this would not be the next reply.
    assert_eq!(client.get("/nothing", &[]).status, 404);
    assert_eq!(client.get("/digits.txt/", &[]).status, 404);
}

#[test]
fn redirects_to_directories() {
    let Some(site) = Site::start(&[]) else { return };
    for (path, location) in [
        ("/sub%20dir", "/sub%20dir/"),
        ("/sub%20dir?a=b", "/sub%20dir/?a=b"),
        // Never to an address that begins with two slashes, which names another host.
        ("//sub%20dir", "/sub%20dir/"),
        ("/%2Fsub%20dir%2Fdeep", "/sub%20dir/deep/"),
    ] {
        let reply = site.get(path, &[]);
        assert_eq!(
            (reply.status, reply.header("location")),
            (301, Some(location))
        );
    }
}

#[test]
fn nothing_outside_is_served() {
    let Some(site) = Site::start(&[]) else { return };
    assert!(site.folder.path().join("root/absolute/secret").exists());
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub%20dir/../../secret",
        "/sub%20dir/outside",
        "/absolute/secret",
        "/absolute",
        "/absolute/",
        "/..",
        "//../secret",
        "/loop",
        "/sub%20dir/deep/../../../root/digits.txt",
    ] {
        let reply = site.get(path, &[]);
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("secret"), "{path}");
    }
    let beyond = format!("{}/secret", site.folder.path().display());
    assert_eq!(site.get(&beyond, &[]).status, 404);
}

#[test]
fn hidden_files_are_neither_served_nor_listed() {
    let Some(site) = Site::start(&[]) else { return };
    for path in [
        "/.env",
        "//.env",
        "/%2eenv",
        "/.git",
        "/.git/",
        "/.git/config",
        "/.git%2fconfig",
        "/./.git/config",
        "/sub%20dir/..env",
        "/sub%20dir/../.env",
        "/.none",
    ] {
        let reply = site.get(path, &[]);
        assert_eq!(reply.status, 404, "{path}");
        assert!(!reply.text().contains("secret"), "{path}");
    }
    for path in ["/", "/sub%20dir/"] {
        let list = site.get(path, &[]);
        assert!(!list.text().contains("env"), "{}", list.text());
        assert!(!list.text().contains(".git"), "{}", list.text());
    }
    // The two names that a path may have.
    assert_eq!(site.get("/./digits.txt", &[]).text(), TEXT);
    assert_eq!(site.get("/sub%20dir/../digits.txt", &[]).text(), TEXT);
}

#[test]
fn sizes_are_for_people() {
    let Some(site) = Site::start(&[]) else { return };
    for (bytes, shown) in [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "0.98 KiB"),
        (1_024, "1.00 KiB"),
        (10_239, "10.0 KiB"),
        (1_023_487, "999 KiB"),
        (1_023_488, "0.98 MiB"),
        (1_536_000, "1.46 MiB"),
        (3 << 30, "3.00 GiB"),
    ] {
        let name = site.folder.path().join("root/sub dir/sized");
        fs::File::create(name).unwrap().set_len(bytes).unwrap();
        let list = site.get("/sub%20dir/", &[]);
        let cell = format!("sized</a><td class=\"n\">{shown}<td>");
        assert!(list.text().contains(&cell), "{bytes}: {}", list.text());
    }
}

#[test]
fn media_types() {
    let Some(site) = Site::start(&[]) else { return };
    for (name, kind) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.b.CSS", "text/css; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("a.unknown", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ] {
        fs::write(site.folder.path().join("root").join(name), "").unwrap();
        let reply = site.get(&format!("/{name}"), &[]);
        assert_eq!(reply.header("content-type"), Some(kind), "{name}");
    }
}

#[test]
fn a_file_that_the_client_has_is_not_sent_again() {
    let Some(site) = Site::start(&[]) else { return };
    let mut client = site.connect();
    let reply = client.get("/digits.txt", &[]);
    let tag = reply.header("etag").unwrap().to_owned();
    let status_with = |header: String| site.get("/digits.txt", &[&header]).status;

    let fresh = client.get("/digits.txt", &[&format!("If-None-Match: {tag}")]);
    assert_eq!((fresh.status, fresh.header("etag")), (304, Some(&*tag)));
    assert_eq!(status_with(format!("If-None-Match: \"x\", W/{tag}")), 304);
    assert_eq!(status_with("If-None-Match: *".into()), 304);
    assert_eq!(status_with("If-None-Match: \"x\"".into()), 200);
    assert_eq!(
        status_with(format!("If-Modified-Since: {CHANGED_TEXT}")),
        304
    );
    let before = "Sun, 06 Nov 1994 08:49:36 GMT";
    assert_eq!(status_with(format!("If-Modified-Since: {before}")), 200);
    assert_eq!(status_with("If-Modified-Since: yesterday".into()), 200);
    // The tag takes precedence over the date.
    let both = [
        &*format!("If-Modified-Since: {CHANGED_TEXT}"),
        "If-None-Match: \"x\"",
    ];
    assert_eq!(site.get("/digits.txt", &both).status, 200);
    assert_eq!(status_with("If-Match: \"x\"".into()), 412);
    assert_eq!(status_with(format!("If-Match: {tag}")), 200);
    assert_eq!(status_with(format!("If-Unmodified-Since: {before}")), 412);
    // 304 has no body: the connection is still good.
    assert_eq!(client.get("/digits.txt", &[]).text(), TEXT);
}

#[test]
fn parts_of_files() {
    let Some(site) = Site::start(&[]) else { return };
    let mut client = site.connect();
    for (range, from, until) in [
        ("0-0", 0, 1),
        ("2-4", 2, 5),
        ("7-", 7, 10),
        ("7-99999999999999999999", 7, 10),
        ("-3", 7, 10),
        ("-30", 0, 10),
    ] {
        let reply = client.get("/digits.txt", &[&format!("Range: bytes={range}")]);
        assert_eq!(
            (reply.status, reply.text()),
            (206, &TEXT[from..until]),
            "{range}"
        );
        let told = format!("bytes {from}-{}/10", until - 1);
        assert_eq!(reply.header("content-range"), Some(&*told), "{range}");
    }
    for range in ["10-", "99-100", "-0", "99999999999999999999-"] {
        let reply = client.get("/digits.txt", &[&format!("Range: bytes={range}")]);
        assert_eq!(
            (reply.status, reply.header("content-range")),
            (416, Some("bytes */10"))
        );
    }
    for range in [
        "bytes=4-2",
        "bytes=x-y",
        "bytes=",
        "bytes=-",
        "bytes=+1-2",
        "lines=1-2",
        "bytes=0-1,3-4",
    ] {
        let reply = client.get("/digits.txt", &[&format!("Range: {range}")]);
        assert_eq!((reply.status, reply.text()), (200, TEXT), "{range}");
    }
    assert_eq!(client.get("/empty", &["Range: bytes=0-"]).status, 416);

    let tag = client
        .get("/digits.txt", &[])
        .header("etag")
        .unwrap()
        .to_owned();
    for (version, status) in [
        (&*tag, 206),
        ("\"x\"", 200),
        (CHANGED_TEXT, 206),
        ("never", 200),
    ] {
        let headers = ["Range: bytes=1-2", &format!("If-Range: {version}")];
        assert_eq!(
            client.get("/digits.txt", &headers).status,
            status,
            "{version}"
        );
    }
}

#[test]
fn long_files_arrive_whole() {
    let Some(site) = Site::start(&[]) else { return };
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| (n ^ n >> 8) as u8).collect();
    fs::write(site.folder.path().join("root/long.bin"), &bytes).unwrap();
    assert!(site.get("/long.bin", &[]).body == bytes);
    let part = site.get("/long.bin", &["Range: bytes=65535-900000"]);
    assert!(part.body == bytes[65_535..=900_000]);
}

#[test]
fn many_requests_at_once_and_in_pieces() {
    let Some(site) = Site::start(&[]) else { return };
    let mut client = site.connect();
    let one = request("GET", "/digits.txt", &[]);
    let other = request("GET", "/nothing", &[]);
    // The half request at the end delays none of the answers before it.
    let (half, rest) = one.split_at(20);
    client.send(&format!("{one}\r\n{other}{one}{half}"));
    let statuses = [(); 3].map(|()| client.reply(true).status);
    assert_eq!(statuses, [200, 404, 200]);
    for piece in rest.split_inclusive(|_| true) {
        client.send(piece);
    }
    assert_eq!(client.reply(true).text(), TEXT);

    client.send(&request("GET", "/digits.txt", &["Connection: close"]));
    let last = client.reply(true);
    assert_eq!(
        (last.text(), last.header("connection")),
        (TEXT, Some("close"))
    );
    assert!(client.has_ended());

    let mut old = site.connect();
    old.send("GET /digits.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(old.reply(true).header("connection"), Some("keep-alive"));
    old.send("GET /digits.txt HTTP/1.0\r\n\r\n");
    assert_eq!(old.reply(true).header("connection"), Some("close"));
    assert!(old.has_ended());
}

#[test]
fn invalid_requests_are_refused() {
    let Some(site) = Site::start(&[]) else { return };
    let long = "x".repeat(17 * 1024);
    for (status, text) in [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        ),
        (400, request("GET", "digits.txt", &[])),
        (400, request("GET", "/%zz", &[])),
        (400, request("GET", "/%0", &[])),
        (400, request("GET", "/a%00b", &[])),
        (405, request("DELETE", "/digits.txt", &[])),
        (405, request("POST", "/", &["Content-Length: 5"]) + "hello"),
        (413, request("GET", "/", &["Content-Length: 5"]) + "hello"),
        (413, request("GET", "/", &["Transfer-Encoding: chunked"])),
        (414, format!("GET /{long}")),
        (414, request("GET", &format!("/{}", &long[..9000]), &[])),
        (431, request("GET", "/", &[&format!("X: {long}")])),
        (431, request("GET", "/", &["X: y"; 100])),
        (505, "GET / HTTP/3.0\r\n\r\n".to_owned()),
    ] {
        // The answer arrives although the client sends more than the server reads, and the
        // connection ends.
        let answer = site.server.ask(text + "\r\n");
        let begin = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begin), "{status}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    let refused = site.server.ask(request("PUT", "/", &[]));
    assert!(refused.contains("\r\nAllow: GET, HEAD\r\n"), "{refused}");
}

#[test]
fn slow_clients_are_cut_off() {
    // A request that arrives whole is in time, and a client that begins late only idles.
    let limits = ["--head-timeout", "50", "--idle-timeout", "60000"];
    let Some(site) = Site::start(&limits) else {
        return;
    };
    for part in ["G", "GET / HTTP/1.1\r\nHost: te", "GET / HTTP/1.1\r\n"] {
        let answer = site.server.ask(part);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{part:?}: {answer}");
    }
    let mut client = site.connect();
    assert_eq!(client.get("/digits.txt", &[]).text(), TEXT);
    // A client that sends nothing gets no answer.
    let limits = ["--head-timeout", "60000", "--idle-timeout", "50"];
    let Some(site) = Site::start(&limits) else {
        return;
    };
    assert_eq!(site.server.ask(""), "");
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a client that is slow on purpose, on a thread of its own"
)]
fn a_byte_now_and_then_is_too_slow_too() {
    let limits = ["--head-timeout", "50", "--idle-timeout", "60000"];
    let Some(site) = Site::start(&limits) else {
        return;
    };
    let mut client = site.connect();
    let mut answers = client.0.get_ref().try_clone().unwrap();
    let told = std::thread::spawn(move || {
        let mut answer = String::new();
        answers.read_to_string(&mut answer).unwrap();
        answer
    });
    client.send("GET /");
    // Each byte arrives well within the limit, the request does not.
    for _ in 0..10_000 {
        if told.is_finished() || client.0.get_mut().write_all(b"X").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(client);
    let answer = told.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn ends_when_it_is_told_to() {
    let Some(site) = Site::start(&[]) else { return };
    let mut idle = site.connect();
    assert_eq!(idle.get("/digits.txt", &[]).status, 200);
    let last_words = site.server.interrupt();
    assert_eq!(last_words, "answered 1 requests\n");
    assert!(idle.has_ended());
}

#[test]
fn responses_under_way_are_completed_at_shutdown() {
    const SIZE: usize = 20_000_000;
    let Some(site) = Site::start(&[]) else { return };
    let file = fs::File::create(site.folder.path().join("root/long.bin")).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let mut client = site.connect();
    client.send(&request("GET", "/long.bin", &[]));
    let length = client
        .reply(false)
        .header("content-length")
        .map(str::to_owned);
    assert_eq!(length, Some(SIZE.to_string()));
    // More than the system buffers: the server is in the middle of it when it is asked to stop.
    let Site { server, folder } = site;
    let ended = std::thread::spawn(move || server.interrupt());
    let mut body = vec![0; SIZE];
    client.0.read_exact(&mut body).unwrap();
    assert_eq!(ended.join().unwrap(), "answered 1 requests\n");
    drop(folder);
}
